"""What trimming promises: covered text is read as before, bit for bit the same numbers; the rest becomes bytes."""

import json
from pathlib import Path

import mmbert
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.cli.checkpoints.trim import trim
from mmbert.common.checkpoints.reader import open_checkpoint
from mmbert.export import read_self_test, read_trim_report
from mmbert.export.vocabulary.bpe import Vocabulary
from mmbert.modeling import build_tokenizer
from safetensors.torch import load_file, save_file
from tests_support import SIZES, documents, files_no_larger_than, sentences
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer
from typer.testing import CliRunner

SHARED = Path(__file__).resolve().parents[3] / "shared"
HEADS = ("Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
GERMAN_GREEK = {tag: sentences(tag, 300) for tag in ("deu_Latn", "ell_Grek")}


def save(folder, tokenizer, head="ForMaskedLM", **fields):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = mmbert.MmBertConfig(
        vocab_size=len(tokenizer), initializer_range=0.1, num_labels=2, sparse_prediction=False, **sizes, **fields
    )
    model = getattr(mmbert, f"MmBert{head}")(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("bias"):
                tensor.normal_()  # a bias that is zero everywhere would hide a wrong row
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vocabulary_tokenizer():
    """Many merges of few letters, and an added token; separate from the session's, which others share."""
    tokenizer = mmbert.train_tokenizer([document.text for document in documents()], 600)
    tokenizer.add_tokens(["<speaker>"])
    return tokenizer


@pytest.fixture(scope="module")
def checkpoint(vocabulary_tokenizer, tmp_path_factory):
    return save(tmp_path_factory.mktemp("trim") / "whole", vocabulary_tokenizer)


@pytest.fixture(scope="module")
def trimmed(checkpoint, tmp_path_factory):
    return mmbert.trim_vocabulary(checkpoint, GERMAN_GREEK, tmp_path_factory.mktemp("trim") / "small")


def kept_ids(folder):
    return [int(line) for line in (folder / "kept_ids.txt").read_text().split()]


def plain_reading(model, word):
    """BPE from its definition: lowest rank first, leftmost first; bytes for characters that are absent."""
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    pieces = []
    for letter in word:
        pieces += [letter] if letter in model["vocab"] else [f"<0x{byte:02X}>" for byte in letter.encode()]
    while True:
        found = [(ranks[pair], at) for at in range(len(pieces) - 1) if (pair := (pieces[at], pieces[at + 1])) in ranks]
        if not found:
            return [model["vocab"][piece] for piece in pieces]
        at = min(found)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def test_texts_of_kept_languages_keep_their_tokens_and_every_number(checkpoint, trimmed):
    before, after = AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(trimmed)
    old = kept_ids(trimmed)
    assert len(old) == len(after) and len(old) % 64 == 0 and len(old) < len(before)
    texts = [text for group in GERMAN_GREEK.values() for text in group] + ["das <speaker> Haus <mask>", ""]
    for text in texts:
        assert [old[token] for token in after(text)["input_ids"]] == before(text)["input_ids"], text
    whole = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()
    small = AutoModelForMaskedLM.from_pretrained(trimmed).eval()
    assert small.config.vocab_size == len(old) and small.decoder.weight is small.model.embeddings.tok_embeddings.weight
    batch, twin = (t(texts[:9], padding=True, return_tensors="pt") for t in (before, after))
    with torch.no_grad():
        assert torch.equal(whole.model(**batch).last_hidden_state, small.model(**twin).last_hidden_state)
        expected = whole(**batch).logits[..., old]
        torch.testing.assert_close(small(**twin).logits, expected, rtol=0, atol=2e-6)
    assert torch.equal(small.decoder.weight, whole.decoder.weight[old])
    assert torch.equal(small.decoder.bias, whole.decoder.bias[old])


def test_other_text_falls_back_to_bytes_and_comes_back(checkpoint, trimmed):
    after = AutoTokenizer.from_pretrained(trimmed)
    for text in ["дом стоит у реки", "東京 🌉", "húsið <b>", "\x00\x1f"]:
        ids = after.encode(text, add_special_tokens=False)
        assert after.unk_token_id not in ids
        assert after.decode(ids) == " " + text
    assert any(token.startswith("<0xD") for token in after.tokenize("дом"))
    assert after.convert_tokens_to_ids(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]) == [0, 1, 2, 3, 4]
    assert len({f"<0x{byte:02X}>" for byte in range(256)} & after.get_vocab().keys()) == 256


@pytest.fixture(scope="module")
def bare(checkpoint):
    return Vocabulary(checkpoint / "tokenizer.json")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_subset_reads_exactly_the_words_whose_tokens_it_kept(bare, data):
    """Both directions, for random subsets and words, against BPE from its definition and against `tokenizers`."""
    wanted = data.draw(st.lists(st.integers(0, len(bare) - 1), max_size=60))
    kept = sorted(bare.with_parents(wanted))
    document = bare.reduced(kept)
    whole = json.loads(bare.path.read_text(encoding="utf-8"))["model"]
    small = Tokenizer.from_str(json.dumps(document))
    vocabulary = [token for token in bare.tokens if not token.startswith("<")]
    words = data.draw(st.lists(st.lists(st.sampled_from(vocabulary), max_size=5).map("".join), min_size=1, max_size=20))
    for word in filter(None, (word.replace("\u2581", "") for word in words)):
        original = plain_reading(whole, "\u2581" + word)
        found = plain_reading(document["model"], "\u2581" + word)
        assert found == small.encode(word, add_special_tokens=False).ids
        assert ([kept[token] for token in found] == original) == set(kept).issuperset(original)


def test_every_beginning_of_the_order_is_closed(bare):
    order = bare.with_parents(range(len(bare) - 1, -1, -1))
    place = {token: number for number, token in enumerate(order)}
    assert len(place) == len(order) and set(order[: len(bare.required)]) == bare.required
    assert all(place[parent] < place[token] for token in order for parent in bare.parents(token))


@pytest.mark.parametrize("head", HEADS)
def test_any_head_and_stock_transformers_after_export(tmp_path, vocabulary_tokenizer, head):
    save(tmp_path / "whole", vocabulary_tokenizer, head)
    small = mmbert.trim_vocabulary(tmp_path / "whole", GERMAN_GREEK["deu_Latn"], tmp_path / "small")
    mmbert.export_modernbert(small, tmp_path / "stock")
    stock = getattr(transformers, f"ModernBert{head}")
    model, info = stock.from_pretrained(tmp_path / "stock", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    whole = getattr(mmbert, f"MmBert{head}").from_pretrained(tmp_path / "whole").eval()
    text = GERMAN_GREEK["deu_Latn"][0]
    with torch.no_grad():
        found = model.eval()(**AutoTokenizer.from_pretrained(tmp_path / "stock")(text, return_tensors="pt")).to_tuple()[
            0
        ]
        expected = whole(**vocabulary_tokenizer(text, return_tensors="pt")).to_tuple()[0]
    if head == "ForMaskedLM":
        expected = expected[..., kept_ids(small)]
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-6)


def test_sentence_transformer_keeps_modules_and_vectors(tmp_path, vocabulary_tokenizer):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    save(tmp_path / "encoder", vocabulary_tokenizer, "Model")
    mmbert.load_embedder(tmp_path / "encoder", dtype="float32", device="cpu").save_pretrained(str(tmp_path / "whole"))
    small = mmbert.trim_vocabulary(tmp_path / "whole", GERMAN_GREEK, tmp_path / "small")
    texts = GERMAN_GREEK["deu_Latn"][:5] + GERMAN_GREEK["ell_Grek"][:5]
    vectors = [
        sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(texts)
        for folder in (tmp_path / "whole", small)
    ]
    assert (vectors[0] == vectors[1]).all()


@pytest.mark.parametrize("path", ["..", "../encoder"])
def test_modules_outside_the_folder_are_refused(tmp_path, vocabulary_tokenizer, path):
    folder = save(tmp_path / "encoder", vocabulary_tokenizer)
    (folder / "modules.json").write_text(json.dumps([{"type": "T", "path": ""}, {"type": "P", "path": path}]))
    with pytest.raises(ValueError, match=r"modules\.json: .* leads out of"):
        mmbert.trim_vocabulary(folder, ["das Haus"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"modules\.json: .* leads out of"):
        mmbert.export_modernbert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_told_of_the_whole_model_is_told_anew(tmp_path, checkpoint):
    whole = mmbert.export_modernbert(checkpoint, tmp_path / "exported", code=True)
    (whole / "onnx").mkdir()
    (whole / "onnx" / "model.onnx").write_bytes(b"another vocabulary's graph")
    small = mmbert.trim_vocabulary(whole, GERMAN_GREEK, tmp_path / "small")
    test, before = read_self_test(small), read_self_test(whole)
    assert test.compare(small).agrees and test.compare(small, stock=True).agrees
    assert max(test.input_ids) < len(kept_ids(small)) and test.input_ids != before.input_ids
    assert open_checkpoint(small).verify() and not (small / "onnx").exists()
    remote = AutoModelForMaskedLM.from_pretrained(small, trust_remote_code=True)
    assert remote.config.vocab_size == len(kept_ids(small))
    # transformers' own save keeps auto_map without the files that it leads to
    for code in whole.glob("*.py"):
        code.unlink()
    again = mmbert.trim_vocabulary(whole, GERMAN_GREEK, tmp_path / "again")
    assert "auto_map" not in json.loads((again / "config.json").read_text())


def test_shards_untied_decoder_and_trimming_again(tmp_path, vocabulary_tokenizer):
    folder = save(tmp_path / "whole", vocabulary_tokenizer, tie_word_embeddings=False)
    model = mmbert.MmBertForMaskedLM.from_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    first = mmbert.trim_vocabulary(folder, GERMAN_GREEK, tmp_path / "first")
    second = mmbert.trim_vocabulary(first, GERMAN_GREEK["deu_Latn"], tmp_path / "second")
    assert len(list(first.glob("*.safetensors"))) > 1
    ids = [kept_ids(first)[place] for place in kept_ids(second)]
    small = mmbert.MmBertForMaskedLM.from_pretrained(second)
    assert torch.equal(small.decoder.weight, model.decoder.weight[ids])
    assert torch.equal(small.model.embeddings.tok_embeddings.weight, model.model.embeddings.tok_embeddings.weight[ids])
    tokenizer = AutoTokenizer.from_pretrained(second)
    text = GERMAN_GREEK["deu_Latn"][3]
    assert [ids[token] for token in tokenizer(text)["input_ids"]] == vocabulary_tokenizer(text)["input_ids"]


def test_tags_without_text_keep_their_script(checkpoint, tmp_path):
    out = mmbert.trim_vocabulary(checkpoint, ["rus_Cyrl"], tmp_path / "out")
    before, after = AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(out)
    text = "люди идут через 2024 старый мост, реки!"
    assert after.tokenize(text) == before.tokenize(text)
    tokens = [t for t in after.get_vocab() if not t.startswith("<")]
    assert not [t for t in tokens if any("\u0370" <= letter < "\u0400" for letter in t)]
    assert len(tokens) < len(before) and read_trim_report(out).coverage == ()


def test_a_single_text_keeps_its_tokens_only(checkpoint, tmp_path):
    out = mmbert.trim_vocabulary(checkpoint, ["das Haus"], tmp_path / "out")
    before, after = AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(out)
    assert after.tokenize("das Haus") == before.tokenize("das Haus")
    assert len(after) == -(-len(Vocabulary(checkpoint / "tokenizer.json").required) // 64) * 64


def test_limits_fill_up_to_what_they_allow(checkpoint, tmp_path):
    out = mmbert.trim_vocabulary(checkpoint, GERMAN_GREEK, tmp_path / "tokens", max_tokens=450)
    assert len(kept_ids(out)) == 448  # the multiple of 64 below
    parameters = sum(tensor.numel() for tensor in load_file(out / "model.safetensors").values())
    report = read_trim_report(out)
    assert report.parameters[1] == parameters and report.tokens == (601, 448)
    again = mmbert.trim_vocabulary(checkpoint, GERMAN_GREEK, tmp_path / "parameters", max_parameters=parameters + 32)
    assert kept_ids(again) == kept_ids(out)


def test_coverage_is_what_reading_the_heldout_words_again_finds(checkpoint, tmp_path):
    """An independent measure: a trimmed checkpoint reads unseen documents, word by word, next to the original."""
    texts = {tag: sentences(tag, 400) for tag in ("eng_Latn", "fao_Latn")}
    out = mmbert.trim_vocabulary(checkpoint, texts, tmp_path / "out", coverage=0.9)
    report = read_trim_report(out)
    assert min(line.covered for line in report.coverage) >= 0.9
    assert report.tokens[1] < 601
    before, after = AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(out)
    old = kept_ids(out)
    for line in report.coverage:
        unseen = [word for text in sentences(line.language, 300, seed=5) for word in text.split()]
        same = [
            [old[t] for t in after.encode(word, add_special_tokens=False)]
            == before.encode(word, add_special_tokens=False)
            for word in unseen
        ]
        assert abs(sum(same) / len(same) - line.covered) < 0.05
        assert line.covered <= line.tokens <= 1
    assert report.draw(tmp_path / "curve.png").stat().st_size > 5000
    assert "| eng_Latn |" in (out / "README.md").read_text()


def edit(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("das Haus", {}, "one string"),
        ([], {}, "texts are empty"),
        ([""], {}, "texts are empty"),
        ({}, {}, "no language to keep"),
        (["deu_Lant"], {}, "did you mean deu_Latn"),
        ({"deu": ["x"]}, {}, "such as deu_Latn"),
        ({"deu_Latn": "das Haus"}, {}, "texts of deu_Latn are one string"),
        (["das Haus", None], {}, "text 2 of texts"),
        (["das Haus", "half \ud800"], {}, "text 2 of texts"),
        (["das Haus"], {"max_tokens": 0}, "max_tokens is 0"),
        (["das Haus"], {"max_tokens": 300}, "bytes, ASCII, special"),
        (["das Haus"], {"max_parameters": 100}, "without its vocabulary"),
        (["das Haus"], {"coverage": 1.5}, r"coverage is 1\.5"),
        (["deu_Latn"], {"coverage": 0.9}, "held-out text, and there is none"),
        ({tag: sentences(tag, 50) for tag in SIZES}, {"coverage": 1.0, "max_tokens": 400}, "out of reach"),
        ({"fao_Latn": ["x"]}, {"word_lists": True}, "no word list for|wordfreq"),
    ],
)
def test_what_is_refused(checkpoint, tmp_path, given, options, message):
    with pytest.raises((ValueError, ImportError), match=message) as caught:
        mmbert.trim_vocabulary(checkpoint, given, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["model"].update(byte_fallback=False), "no byte fallback"),
        (lambda d: d["model"].update(ignore_merges=True), "ignore_merges=True"),
        (lambda d: d["model"].update(vocab=[["a", 0.0]]), "only BPE"),
        (lambda d: d["model"]["vocab"].update({"<pad>": 1, "<eos>": 0}), "<pad> has id 1"),
        (lambda d: d["model"]["vocab"].pop("<0x9F>"), "<0x9F>"),
        (lambda d: d["model"]["vocab"].update({"new": 9999}), "each once"),
    ],
)
def test_tokenizers_that_cannot_be_trimmed(tmp_path, vocabulary_tokenizer, change, message):
    save(tmp_path / "whole", vocabulary_tokenizer)
    edit(tmp_path / "whole" / "tokenizer.json", change)
    with pytest.raises(ValueError, match=message):
        mmbert.trim_vocabulary(tmp_path / "whole", ["das Haus"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_checkpoints_that_cannot_be_trimmed(tmp_path, vocabulary_tokenizer):
    whole = save(tmp_path / "whole", vocabulary_tokenizer)
    with pytest.raises(ValueError, match="whole exists and is not empty"):
        mmbert.trim_vocabulary(whole, ["das Haus"], whole)
    mmbert.train_tokenizer(["das Haus"] * 9, 300).save_pretrained(tmp_path / "other")
    mine = (whole / "tokenizer.json").read_text()
    edit(whole / "tokenizer.json", lambda d: d["model"]["vocab"].update({f"w{n}": 600 + n for n in range(1, 30)}))
    with pytest.raises(ValueError, match="tokenizer of another model"):
        mmbert.trim_vocabulary(whole, ["das Haus"], tmp_path / "out")
    (whole / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json does not exist"):
        mmbert.trim_vocabulary(whole, ["das Haus"], tmp_path / "out")
    (whole / "tokenizer.json").write_text(mine)
    tensors = load_file(whole / "model.safetensors")
    save_file({**tensors, "decoder.bias": torch.zeros(7)}, whole / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"decoder\.bias has 7 rows"):
        mmbert.trim_vocabulary(whole, ["das Haus"], tmp_path / "out")
    raw = (whole / "model.safetensors").read_bytes()
    (whole / "model.safetensors").write_bytes(raw[:-100])
    with pytest.raises(ValueError, match="truncated"):
        mmbert.trim_vocabulary(whole, ["das Haus"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_full_disk_leaves_no_target(checkpoint, tmp_path):
    with files_no_larger_than(20_000), pytest.raises(ValueError, match=r"cannot write .*out"):
        mmbert.trim_vocabulary(checkpoint, ["das Haus"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def run(*arguments):
    import typer

    app = typer.Typer()
    app.command()(trim)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_reads_a_corpus_and_writes_table_and_picture(checkpoint, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for tag in SIZES:
        (corpus / f"{tag}.txt").write_text("\n\n".join(sentences(tag, 120)), encoding="utf-8")
    out = tmp_path / "out"
    result = run(checkpoint, "--corpus", corpus, "--languages", "deu,ell_Grek", "-o", out, "--max-parameters", "0.04M")
    assert result.exit_code == 0, result.output
    assert read_trim_report(out).languages == ("deu_Latn", "ell_Grek")
    assert (out / "trim.png").is_file() and "deu_Latn" in result.output
    for languages, message in (("deu_Latm", "deu_Latn"), ("dee", "deu"), ("swh_Latn", "no language 'swh_Latn'")):
        failed = run(checkpoint, "--corpus", corpus, "--languages", languages, "-o", tmp_path / "no")
        assert isinstance(failed.exception, ValueError) and message in str(failed.exception)
    for arguments, message in (
        ([], "say what to keep"),
        (["--languages", "deu_Latn", "--max-parameters", "many"], "170M"),
        (["--languages", "xyq_Latn"], "not known"),
    ):
        failed = run(checkpoint, *arguments, "-o", tmp_path / "no")
        assert isinstance(failed.exception, ValueError) and message in str(failed.exception)
    assert not (tmp_path / "no").exists()


@pytest.mark.shared
@pytest.mark.slow
def test_the_large_vocabulary_on_real_text(tmp_path):
    """256,000 words, some tokens made by nine merges: real text in four scripts, both directions of the rule."""
    gemma, table = SHARED / "tokenizer" / "gemma_tokenizer.json.xz", SHARED / "data" / "text_udhr" / "data.parquet"
    if not (gemma.is_file() and table.is_file()):
        pytest.skip("needs the developers' tokenizer and texts")
    from datasets import Dataset

    whole = build_tokenizer(gemma)
    save(tmp_path / "whole", whole, "Model")
    texts = {}
    for row in Dataset.from_parquet(str(table), cache_dir=str(tmp_path / "cache")):
        texts.setdefault(row["lang"], []).append(row["text"])
    kept_languages = {tag: texts[tag] for tag in ("eng_Latn", "deu_Latn", "cmn_Hans", "hin_Deva")}
    out = mmbert.trim_vocabulary(tmp_path / "whole", kept_languages, tmp_path / "small", max_tokens=9_000)
    after, old = AutoTokenizer.from_pretrained(out), kept_ids(out)
    kept, counted = set(old), {True: 0, False: 0}
    for tag in (*kept_languages, "nld_Latn", "npi_Deva", "jpn_Jpan", "tha_Thai"):
        for word in {word for text in texts[tag] for word in text.split()}:
            original = whole.encode(word, add_special_tokens=False)
            found = after.encode(word, add_special_tokens=False)
            assert 3 not in found
            assert ([old[token] for token in found] == original) == kept.issuperset(original), word
            counted[kept.issuperset(original)] += 1
    assert min(counted.values()) > 500
    for group in kept_languages.values():
        for text in group:
            assert [old[token] for token in after(text)["input_ids"]] == whole(text)["input_ids"]


@pytest.mark.parametrize("tag", ["cmn_Hant", "srp_Cyrl"])
def test_a_word_list_in_another_script_is_refused(tag):
    """wordfreq unified these before it counted; its words would keep tokens that the text never has."""
    pytest.importorskip("wordfreq")
    from mmbert.export.vocabulary.word_lists import word_frequencies

    with pytest.raises(ValueError, match=f"lists no words of '{tag}' in its script"):
        word_frequencies(tag)
    assert word_frequencies(tag.replace("Hant", "Hans").replace("Cyrl", "Latn"))
