"""examples/evaluate_embeddings.py: report, picture, summary and card; a second call evaluates nothing anew."""

import json
from pathlib import Path

import mmbert
import pytest
from tests_support import run_forked

SCRIPT = Path(mmbert.__file__).parent / "examples" / "evaluate_embeddings.py"


def run(*arguments):
    return run_forked(SCRIPT, *arguments)


@pytest.mark.slow
def test_it_evaluates_and_writes_everything(tmp_path):
    from mmbert import MmBertConfig, MmBertModel
    from mmbert.modeling import train_tokenizer
    from mmbert.modeling.tokenization_mmbert import save_tokenizer

    rows = [
        {"lang": tag, "id": str(n), "question": f"who is {n} {tag}", "context": f"he is {n} in {tag}, {n * n}"}
        for n in range(12)
        for tag in ("eng_Latn", "hin_Deva")
    ]
    data = tmp_path / "xquad.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = train_tokenizer([row["context"] for row in rows], 280)
    config = MmBertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    MmBertModel(config).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    call = [f"mine={tmp_path / 'model'}", "--data", f"xquad={data}", "--output", tmp_path / "out", "--card"]
    done = run(*call)
    assert done.returncode == 0, done.stderr
    for name in ("mine/report.json", "mine/report.md", "mine/report.png", "summary.md"):
        assert (tmp_path / "out" / name).stat().st_size > 100, name
    report = json.loads((tmp_path / "out" / "mine" / "report.json").read_text())
    assert list(report["tasks"][0]["languages"]) == ["eng_Latn", "hin_Deva"]
    assert "| hin_Deva |" in (tmp_path / "model" / "README.md").read_text()
    again = run(*call)
    assert "evaluated before" in again.stdout
    bad = run("x", "--data", "xquad=nowhere", "--output", tmp_path / "out")
    assert bad.returncode == 1 and bad.stderr.strip().count("\n") == 0 and "nowhere does not exist" in bad.stderr
