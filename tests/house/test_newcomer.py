"""What somebody types who has not read the guides: one line with the remedy, and predictions of any table."""

import csv
import json
import shutil

import mmbert
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert import cli
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from tests_support import save_model, sentences

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
HEADS = {"classifier": "SequenceClassification", "tagger": "TokenClassification",
         "answerer": "QuestionAnswering", "chooser": "MultipleChoice"}  # fmt: skip


@pytest.fixture(scope="module")
def home(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("newcomer")
    for name, head in {"base": "MaskedLM", **HEADS}.items():
        save_model(folder / name, tokenizer, head, num_labels=2)
    texts = sentences("eng_Latn", 12)
    rows = [{"review": text, "sentence1": text, "stars": "ab"[place % 2]} for place, text in enumerate(texts)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    split = "text,label,split\nbread,a,train\nsalt,b,train\nwater,a,test\n"
    (folder / "split.csv").write_text(split, encoding="utf-8")
    (folder / "only.jsonl").write_text(json.dumps({"what": "x", "stars": 1}) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def mmbert_command(home, monkeypatch, capsys):
    """Run the command as a process does; returns status, standard output, standard error."""
    monkeypatch.chdir(home)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["mmbert", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("finetune ner --model base", "mmbert finetune has no command ner; did you mean tagging?"),
        ("search idex", "mmbert search has no command idex; did you mean index?"),
        ("search query nowhere bread --mdoe words", "mmbert search query has no option --mdoe; did you mean --mode?"),
        ("search serve nowhere --prot 1", "did you mean --port?"),
        ("search index rows.jsonl --model base --output x --config nothing.yaml", "--config nothing.yaml is no file"),
        ("help finetune", "did you mean --help?"),
        ("evaluate base --task sib20 -o x", "no task 'sib20' in the catalogue; did you mean sib200?"),
        ("merge base base --method tise -o x", "is not one of 'ties', 'arithmetic', 'average'; did you mean ties?"),
        ("finetune sentiment", "did you mean classification?"),
        ("train sbert --model base", "did you mean embedder?"),
        ("finetune text_classification", "did you mean classification?"),
        ("train cross-encoder --model base", "mmbert train has no command cross-encoder; did you mean reranker?"),
        ("fine-tune qa", "mmbert has no command fine-tune; did you mean finetune?"),
        ("encode base rows.jsonl", "did you mean embed?"),
        ("predict classifier rows.jsonl", "mmbert predict: missing option '--output'"),
        ("push base", "mmbert push: missing argument 'repo_id'"),
        ("predict classifier rows.jsonl --bs 0 -o x.jsonl", "mmbert predict: invalid value for '--batch-size'"),
        ("predict classifier rows.jsonl -o base", "base is a folder; name a file in it, such as base/predictions"),
        ("predict classifier rows.jsonl -o x.csv", "predictions are JSON lines; name the file x.jsonl"),
        ("predict classifier . -o x.jsonl", ". is no file but a folder"),
        ("predict classifier only.jsonl -o x.jsonl", "a row has no text; it has what, stars; name the column that holds"
         " it: --columns text=COLUMN"),
        ("predict classifier rows.jsonl -o x.jsonl --device gpu", "--device gpu is none that torch knows"),
        ("predict classifier rows.jsonl -o x.jsonl --columns txt=review", "there is no name 'txt'; did you mean text?"),
        ("predict base rows.jsonl -o x.jsonl", "predicts nothing yet; fine-tune it first (mmbert finetune)"),
        ("finetune qa --model nowhere --data nothing.jsonl --output x", "nowhere does not exist"),
        ("finetune qa --model base --output x --device cuda", "give --use_cpu, or set CUDA_VISIBLE_DEVICES"),
        ("languages zzz", "with one of the 1,833 codes of mmBERT's statistics."),
        ("search query nowhere bread --top_k 3", "nowhere"),
        ("evaluate base --tasks sib200 -o x --seed 3", "has no option --seed; --seeds N makes N runs, with seeds 0, 1"),
        ("train embedder --model base --seeds 3", "has no option --seeds; it makes one run; give --seed N"),
        ("finetune qa --config a.yaml --config b.yaml", "--config is given twice; put the options into one file"),
        ("finetune qa --model base --text_column x", "has no option --text_column; write --columns text=COLUMN"),
        ("embed base rows.jsonl x.npy --text-column-name x", "has no option --text-column-name; write --field COLUMN"),
        ("finetune qa --model base --output x --task qa", "the task is the word after the verb"),
        ("finetune classification --model base --data split.csv --output x",
         "there are test, train; give --dev_split NAME, --dev FILE or --dev_split none"),
        ("finetune classification --model base --data split.csv --output x --train_split tain",
         "has no split 'tain'; there are test, train; give --train_split NAME"),
        ("finetune classification --model base --data rows.jsonl --output x --dev_split none --metric f1x",
         "--metric f1x is none of accuracy, macro_f1, micro_f1, f1,"),
        ("finetune qa --model base --data rows.jsonl --output x --table_score exat", "did you mean exact?"),
        ("finetune tagging --model base --data rows.jsonl --output x --lr_scheduler_type linaer",
         "did you mean linear?"),
        ("finetune choice --model base --data rows.jsonl --output x --lora maybe",
         "--lora maybe must be true or false"),
        ("finetune classification --model base --data rows.jsonl --output x --report_to tensorbord",
         "did you mean tensorboard?"),
        ("finetune classification rows.jsonl --model base --output x", "'rows.jsonl' belongs to no option; write its"),
        ("train embedder --model base --train rows.jsonl --output x --objective contrastiv",
         "did you mean contrastive?"),
        ("train embedder --model base --train rows.jsonl?anchr=text --output x", "did you mean anchor?"),
        ("train embedder --model base --train rows.jsonl --output x --device gpu", "--device gpu is none that torch"),
        ("train distilled --model base --teacher base --train rows.jsonl --output x --start tokns",
         "--start tokns is none of model, tokens; did you mean tokens? Or give the folder"),
        ("pretrain --recipe dmo --output_dir x", "no recipe at dmo; shipped recipes are continue, demo, "),
        ("pretrain --recipe demo --output_dir x --variants decay-al", "no variant 'decay-al'; did you mean decay-all?"),
        ("pretrain --recipe demo --output_dir x --report_to wandbb", "did you mean wandb?"),
        ("export base x --format onx", "--format onx is none of modernbert, onnx, openvino, gguf; did you mean onnx?"),
        ("export base x --format onnx --pooling men", "--pooling men is none of mean, cls; did you mean mean?"),
        ("merge base base -o x --trim globl", "--trim globl is none of global, tensor; did you mean global?"),
        ("evaluate base --tasks sib200 -o x --grid papr", "did you mean paper? Or give learning rates and epochs"),
        ("predict clasifier rows.jsonl -o x.jsonl", "clasifier does not exist; give the folder or Hub id"),
        ("predict classifier rows.jsonl -o x.jsonl --dtype float23", "did you mean float32?"),
        ("languages deu_Cyrl", "nothing is known of deu_Cyrl: German is not known to be written in Cyrl; did you mean"),
        ("languages sux", "language tag 'sux' is not known"),
        ("embed base rows.jsonl v.npy --config only.jsonl", "--config only.jsonl: mmbert embed has no option --what"),
    ],
)  # fmt: skip
def test_one_line_says_what_to_do(line, told, mmbert_command, home):
    status, _, said = mmbert_command(*line.split())
    assert status == 2 and told in said, said
    assert said.strip().count("\n") == 0, said
    assert not (home / "x").exists() and not (home / "x.jsonl").exists()


def test_nothing_asked_gets_the_help(mmbert_command):
    status, out, said = mmbert_command("finetune")
    assert "classification" in out + said and status in (0, 2)


def test_completion_of_the_shell_lists_verbs(mmbert_command, monkeypatch):
    monkeypatch.setenv("_MMBERT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "mmbert fin")
    monkeypatch.setenv("COMP_CWORD", "1")
    _, out, _ = mmbert_command()
    assert "finetune" in out.split()


def table(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


ROWS = {  # columns as public data sets call them
    "classifier": [{"premise": a, "hypothesis": b} for a, b in zip(*[iter(sentences("eng_Latn", 6))] * 2, strict=True)],
    "tagger": [{"words": text.split()} for text in sentences("deu_Latn", 3)],
    "answerer": [{"question": "what stands?", "passage": text} for text in sentences("eng_Latn", 3)],
    "chooser": [{"premise": text, "ending0": "the house", "ending1": "a river"} for text in sentences("eng_Latn", 3)],
}
SAYS = {"classifier": "label", "tagger": "tags", "answerer": "answer", "chooser": "choice"}


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("model", ROWS)
def test_every_task_predicts_on_every_table(model, ending, mmbert_command, home):
    source, target = home / f"{model}.{ending}", home / f"{model}-{ending}.jsonl"
    table(source, ROWS[model])
    status, out, said = mmbert_command("predict", "--model", model, "--data", source, "--out", target, "-q")
    assert status == 0, said
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(found) == 3 and all(SAYS[model] in line["prediction"] for line in found)
    assert found[0].keys() == {*ROWS[model][0], "prediction"}, "the file's own columns, under its names"
    assert "3 rows" in out and "rows/s" not in said


def test_a_fine_tuning_with_several_seeds_predicts_with_the_first(mmbert_command, home):
    for seed in (0, 1, 10):
        (home / "seeds" / f"seed-{seed}").parent.mkdir(exist_ok=True)
        shutil.copytree(home / "classifier", home / "seeds" / f"seed-{seed}")
    status, out, said = mmbert_command(
        "predict", "seeds", "rows.jsonl", "-o", "of_seeds.jsonl", "--columns", "text=review"
    )
    assert status == 0 and "12 rows" in out, said
    assert mmbert.Classifier.load(home / "seeds").folder == home / "seeds" / "seed-0"


def test_an_index_is_made_again_from_its_run_file(mmbert_command, home):
    pytest.importorskip("usearch")
    assert (
        mmbert_command("search", "index", "--documents", "rows.jsonl", "--model", "base", "--out", "i1", "-q")[0] == 0
    )
    status, out, said = mmbert_command("search", "index", "--config", "i1/run.yaml", "--output", "i2")
    assert status == 0 and "12 documents added" in out, said
    assert mmbert_command("search", "query", "i2", "river", "--mode", "words")[0] == 0
    status, out, said = mmbert_command("search", "query", "i2", "zzzyyx", "--mode", "words")
    assert (status, out) == (1, "") and "i2 holds nothing for 'zzzyyx'" in said


def test_gguf_says_its_own_lines_alone(mmbert_command, home):
    pytest.importorskip("gguf")
    status, _, said = mmbert_command("export", "classifier", "gguf", "--format", "gguf")
    assert status == 0 and "Little Endian" not in said and "partial" not in said


def test_regression_predicts_a_number(mmbert_command, home, tokenizer):
    config = mmbert.MmBertConfig(vocab_size=len(tokenizer), num_labels=1, problem_type="regression", **SIZES)
    mmbert.MmBertForSequenceClassification(config).save_pretrained(home / "regressor")
    save_tokenizer(tokenizer, home / "regressor")
    assert mmbert_command("predict", "regressor", "rows.jsonl", "-o", "numbers.jsonl")[0] == 0
    lines = (home / "numbers.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(isinstance(json.loads(line)["prediction"]["score"], float) for line in lines) and len(lines) == 12


def test_a_table_without_rows_and_an_output_that_is_a_file_are_told_at_once(mmbert_command, home):
    (home / "empty.csv").write_text("")
    (home / "header.csv").write_text("text,label\n")
    for name in ("empty.csv", "header.csv"):
        status, _, err = mmbert_command(
            "finetune", "classification", "--model", "base", "--data", name, "--output", "x"
        )
        assert status == 2 and f"{name} holds no row." in err and "columns" not in err
    status, _, err = mmbert_command("finetune", "qa", "--model", "base", "--data", "nowhere", "--output", "split.csv")
    assert (
        status == 2
        and err == "mmbert: --output split.csv is a file, and a folder is to be made there; choose another name\n"
    )
