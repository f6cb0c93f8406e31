"""The tokenizer: its layout, its round trip, and that what is saved reads texts alike everywhere."""

import json
import lzma
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer, tokenizer_fingerprint, train_tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

GEMMA = Path(__file__).resolve().parents[3] / "shared" / "tokenizer" / "gemma_tokenizer.json.xz"

SENTENCES = [
    "The house stands near a river, and every morning people cross the old bridge.\n\nIn 2024 it was painted.",
    "Дом стоит у реки, и каждое утро люди идут через старый мост.",
    "Το σπίτι είναι κοντά στο ποτάμι.",
    "घर नदी के पास है।",
    "البيت قريب من النهر.",
    "家は川の近くにあります。東京都",
    "บ้านอยู่ใกล้แม่น้ำ",
    "def cross(bridge):\n    if bridge.old:\n        return 1\n    return 0\n",
]
UNSEEN = [
    "𐌰𐌱𐌲 Gothic, ꆈꌠ Yi, ᏣᎳᎩ Cherokee",
    "emoji 👩‍🔬🇫🇴 and a combining e\u0301",
    "tabs\tand\r\nwindows  lines \x00\x1f\x7f\u200b\ufeff\uffff",
    "  two leading spaces and one behind ",
]


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer(SENTENCES * 5, 500)


def expected_back(text: str) -> str:
    """What decoding promises: U+2581 is a space, and one is prepended where none stands."""
    text = text.replace("\u2581", " ")
    return text if not text or text.startswith(" ") else " " + text


def byte_pair_words(text: str, vocabulary: dict[str, int], merges: list[list[str]]) -> list[int]:
    """A slow BPE in plain Python, straight from its definition: lowest rank first, leftmost first, bytes if unknown."""
    ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
    marked = text.replace(" ", "\u2581")
    marked = marked if marked.startswith("\u2581") else "\u2581" + marked
    ids = []
    for word in re.findall("\u2581[^\u2581]*", marked):
        pieces = [
            piece
            for letter in word
            for piece in ([letter] if letter in vocabulary else [f"<0x{byte:02X}>" for byte in letter.encode()])
        ]
        while pairs := [(ranks[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in ranks]:
            _, at = min(pairs)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        ids += [vocabulary[piece] for piece in pieces]
    return ids


def test_layout_is_the_released_one(trained):
    assert isinstance(trained, PreTrainedTokenizerFast)
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    assert trained.convert_tokens_to_ids(specials) == [0, 1, 2, 3, 4]
    assert (trained.cls_token, trained.sep_token, trained.mask_token) == ("<bos>", "<eos>", "<mask>")
    assert (trained.padding_side, trained.model_max_length) == ("right", 8192)
    words = trained.encode("river", add_special_tokens=False)
    assert trained("river") == {"input_ids": [2, *words, 1], "attention_mask": [1] * (len(words) + 2)}
    assert trained("river", "river")["input_ids"] == [2, *words, 1, *words, 1]  # no token type ids either
    assert trained(["river", "river river"], padding=True)["input_ids"][0][len(words) + 2] == 0
    assert len(trained) <= 500
    assert {f"<0x{byte:02X}>" for byte in range(256)} <= set(trained.get_vocab())


def test_ids_are_those_of_a_plain_byte_pair_encoding(trained):
    model = json.loads(trained.backend_tokenizer.to_str())["model"]
    for text in SENTENCES + UNSEEN:
        slow = byte_pair_words(text, model["vocab"], model["merges"])
        assert trained.encode(text, add_special_tokens=False) == slow, text


def test_merges_learn_words_but_do_not_cross_lines_or_digits(trained):
    learned = [word for word, index in trained.get_vocab().items() if index > 260 and len(word) > 1]
    assert "\u2581bridge" in learned
    assert not [word for word in learned if "\n" in word.strip("\n") or ("\n" in word and word.strip("\n"))]
    assert not [word for word in learned if re.search(r"\d", word)]


pieces = st.sampled_from(
    ["<mask>", "<eos>", "<0x41>", "<unk>", "\n", "\n\n", " ", "   ", "\u2581", "\t", "\x00", "bridge"]
)


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(st.one_of(st.text(max_size=8), pieces), max_size=12))
def test_any_unicode_text_comes_back(trained, parts):
    text = "".join(parts)
    ids = trained.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert trained.decode(ids) == expected_back(text)
    assert not {0, 1, 2, 3, 4} & set(ids)  # no special token appears, <unk> least of all


def test_special_tokens_in_a_text_are_special_unless_split(trained):
    assert trained.encode("old <mask>", add_special_tokens=False)[-1] == 4
    bare = trained.encode("old<mask>bridge", add_special_tokens=False)
    blanks = trained.encode("old  <mask>bridge", add_special_tokens=False)
    assert bare == blanks  # <mask> takes the blanks before it
    assert 4 not in trained.encode("old <mask>", split_special_tokens=True)
    assert trained.encode("<0x41>", add_special_tokens=False) != [
        trained.get_vocab()["<0x41>"]
    ]  # bytes cannot be called


def test_lone_surrogate_is_refused(trained):
    with pytest.raises(TypeError, match="must be"):
        trained.encode("half a pair \ud83d")


@pytest.mark.parametrize("model_type", [None, "modernbert", "mmbert"])
def test_auto_tokenizer_reads_alike(trained, tmp_path, model_type):
    trained.save_pretrained(tmp_path)
    if model_type:  # AutoTokenizer looks at the model's type before it trusts a tokenizer class
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    texts = [*SENTENCES, *UNSEEN, "", "a <mask> b"]
    assert loaded(texts)["input_ids"] == trained(texts)["input_ids"]
    assert loaded("a", "b") == trained("a", "b")
    assert [loaded.decode(ids) for ids in loaded(texts)["input_ids"]] == trained.batch_decode(
        trained(texts)["input_ids"]
    )
    assert (loaded.model_max_length, loaded.padding_side) == (8192, "right")
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(trained)


def test_saved_class_name_is_the_one_that_transformers_4_knows(trained, tmp_path):
    trained.save_pretrained(tmp_path / "own")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "own")
    loaded.add_special_tokens({"additional_special_tokens": ["<speaker>"]})
    save_tokenizer(loaded, tmp_path / "loaded")
    for folder in ("own", "loaded"):
        config = json.loads((tmp_path / folder / "tokenizer_config.json").read_text())
        assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert "extra_special_tokens" not in config
    again = AutoTokenizer.from_pretrained(tmp_path / "loaded")
    assert again.encode("a <speaker> <mask>") == loaded.encode("a <speaker> <mask>")


def test_training_is_deterministic_even_among_equally_rare_letters(tmp_path):
    letters = [chr(0x4E00 + number) for number in range(400)]  # each once: which get an id must not be chance
    texts = ["".join(letters), *SENTENCES]
    first, second = train_tokenizer(texts, 420, alphabet_size=60), train_tokenizer(texts, 420, alphabet_size=60)
    assert first.get_vocab() == second.get_vocab()
    assert tokenizer_fingerprint(first) == tokenizer_fingerprint(second)


def test_fingerprint_names_another_tokenizer_but_not_another_padding(trained):
    before = tokenizer_fingerprint(trained)
    trained(["a", "a longer text"], padding=True, truncation=True, max_length=4)
    assert tokenizer_fingerprint(trained) == before
    assert tokenizer_fingerprint(train_tokenizer(SENTENCES * 5, 420)) != before


@pytest.mark.parametrize(
    ("texts", "vocab_size", "message"),
    [
        ([], 500, "no text"),
        (["  ", "\n"], 500, "no text"),
        ("one string", 500, "one string"),
        (["fine", "half \ud800"], 500, "text 1 "),
        (["fine", None], 500, "text 1 "),
        (["fine"], 262, "263"),  # no room for two letters
    ],
)
def test_train_refuses(texts, vocab_size, message):
    with pytest.raises(ValueError, match=message) as caught:
        train_tokenizer(texts, vocab_size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alphabet_size", [0, 240])
def test_train_refuses_an_alphabet_that_does_not_fit(alphabet_size):
    with pytest.raises(ValueError, match="between 1 and 239"):
        train_tokenizer(SENTENCES, 500, alphabet_size=alphabet_size)


def test_build_takes_file_folder_and_xz_and_repairs_the_layout(trained, tmp_path):
    document = json.loads(trained.backend_tokenizer.to_str())
    document["pre_tokenizer"] = None  # a vocabulary in another layout, as Gemma's is
    document["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "tokenizer.json.xz").write_bytes(lzma.compress(json.dumps(document).encode()))
    for source in (tmp_path, tmp_path / "tokenizer.json", str(tmp_path / "tokenizer.json.xz")):
        built = build_tokenizer(source)
        assert tokenizer_fingerprint(built) == tokenizer_fingerprint(trained)
        assert built(SENTENCES)["input_ids"] == trained(SENTENCES)["input_ids"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["model"]["vocab"].update({"<eos>": 0, "<pad>": 1}), "<pad> has id 1"),
        (lambda d: d["model"]["vocab"].pop("<0xFF>"), "1 byte tokens are missing"),
        (lambda d: d["model"]["vocab"].update({"gap": 10_000}), "not 0 to"),
        (lambda d: d["model"].update(type="WordPiece"), "WordPiece"),
        (lambda d: d["model"].pop("merges"), "merges"),
    ],
)
def test_build_refuses_other_vocabularies(trained, tmp_path, change, message):
    document = json.loads(trained.backend_tokenizer.to_str())
    change(document)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        build_tokenizer(path)


def test_build_refuses_damaged_and_missing_files(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{ not json")
    (tmp_path / "cut.json.xz").write_bytes(lzma.compress(b"{}")[:-6])
    for name in ("tokenizer.json", "cut.json.xz"):
        with pytest.raises(ValueError, match=name):
            build_tokenizer(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json"):
        build_tokenizer(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        build_tokenizer(tmp_path / "absent.json")
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE"):
        build_tokenizer("someone/unreachable")


needs_gemma = pytest.mark.skipif(not GEMMA.exists(), reason="the Gemma vocabulary lies in ../shared, which is not here")


@pytest.fixture(scope="module")
def gemma():
    return build_tokenizer(GEMMA)


@pytest.mark.shared
@needs_gemma
def test_gemma_vocabulary_in_the_released_layout(gemma):
    assert len(gemma) == gemma.vocab_size == 256_000
    assert gemma.convert_tokens_to_ids(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]) == [0, 1, 2, 3, 4]
    words = gemma.encode("the river", add_special_tokens=False)
    assert gemma.convert_ids_to_tokens(words) == ["\u2581the", "\u2581river"]
    assert gemma("the river", "the river") == {"input_ids": [2, *words, 1, *words, 1], "attention_mask": [1] * 7}
    assert gemma.encode("the <mask>")[-2:] == [4, 1]
    # Newline runs are added tokens, and Metaspace marks the word after each: the one place where decoding adds a space.
    assert gemma.tokenize("river\n\nbank") == ["\u2581river", "\n\n", "\u2581bank"]
    assert gemma.decode(gemma.encode("a\nb", add_special_tokens=False)) == " a\n b"


@pytest.mark.shared
@needs_gemma
def test_gemma_vocabulary_brings_any_line_back(gemma):
    added = [re.escape(token) for token in gemma.added_tokens_encoder]

    @settings(max_examples=100, deadline=None)
    @given(text=st.text(max_size=20))
    def comes_back(text):
        ids = gemma.encode(text, add_special_tokens=False)
        assert 3 not in ids
        sections = [part for part in re.split(f"({'|'.join(sorted(added, key=len, reverse=True))})", text) if part]
        back = "".join(part if part in gemma.added_tokens_encoder else expected_back(part) for part in sections)
        assert gemma.decode(ids) == back.replace("\u2581", " ")

    comes_back()


@pytest.mark.shared
@pytest.mark.slow
@needs_gemma
def test_gemma_ids_are_those_of_a_plain_byte_pair_encoding(gemma, tmp_path):
    model = json.loads(lzma.decompress(GEMMA.read_bytes()))["model"]
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    for text in [*SENTENCES, *UNSEEN]:  # newline runs are added tokens: plain BPE is the reference between them
        for line in filter(None, re.split(r"\n+", text)):
            slow = byte_pair_words(line, model["vocab"], merges)
            assert gemma.encode(line, add_special_tokens=False) == slow, line
    gemma.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    texts = [*SENTENCES, *UNSEEN, "a <mask> b"]
    assert loaded(texts)["input_ids"] == gemma(texts)["input_ids"]
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(gemma)


def test_transformers_reads_a_saved_tokenizer_json_once(trained, tmp_path, monkeypatch):
    from transformers import tokenization_utils_base

    save_tokenizer(trained, tmp_path)
    read, load = [], json.load
    monkeypatch.setattr(
        tokenization_utils_base.json, "load", lambda file, **options: read.append(file.name) or load(file)
    )
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert not [name for name in read if name.endswith("tokenizer.json")]
    assert again.added_tokens_decoder == trained.added_tokens_decoder
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(trained)
