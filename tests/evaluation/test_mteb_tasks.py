"""A local task gives the same numbers through mteb as through our own retrieval scores."""

import json

import numpy as np
import pytest
from mmbert.evaluation import evaluate_embedder
from mmbert.evaluation.embeddings.mteb_tasks import local_task


def test_unknown_sets_and_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no retrieval set 'stsb'; there are xquad"):
        local_task("stsb", tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        local_task("xquad", tmp_path / "nowhere")


@pytest.mark.slow
def test_mteb_finds_our_numbers(tmp_path):
    mteb = pytest.importorskip("mteb")
    from mmbert import MmBertConfig, MmBertModel, load_embedder
    from mmbert.modeling import train_tokenizer
    from mmbert.modeling.tokenization_mmbert import save_tokenizer

    draw = np.random.default_rng(0)
    words = [f"{a}{b}" for a in ("ra", "bo", "li", "mu", "te") for b in ("k", "sta", "no", "ri", "zz", "ul")]
    rows = []
    for number in range(40):
        passage = " ".join(draw.choice(words, size=20))
        for tag in ("eng_Latn", "deu_Latn"):
            for part in (0, 1):
                question = " ".join(draw.choice(passage.split(), size=4)) + f" {tag[:3]}"
                row = {"lang": tag, "id": f"{number}{part}", "question": question, "context": f"{passage} {tag[:3]}"}
                rows.append(row)
    (tmp_path / "xquad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = train_tokenizer([row["context"] for row in rows], 300)
    config = MmBertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    MmBertModel(config).save_pretrained(tmp_path / "encoder")
    save_tokenizer(tokenizer, tmp_path / "encoder")
    embedder = load_embedder(tmp_path / "encoder", dtype="float32")
    ours = evaluate_embedder(embedder, {"xquad": tmp_path / "xquad.jsonl", "xquad-cross": tmp_path / "xquad.jsonl"})
    for task in ours["tasks"]:
        local = local_task(task["name"].removeprefix("embedding/"), tmp_path / "xquad.jsonl")
        found = mteb.evaluate(embedder, local, cache=None, show_progress_bar=False, co2_tracker=False)
        theirs = {one["hf_subset"]: one for one in found.task_results[0].scores["test"]}
        assert theirs.keys() == task["languages"].keys()
        for tag, entry in task["languages"].items():
            assert entry["mean"] == pytest.approx(theirs[tag]["ndcg_at_10"], abs=1e-5)  # mteb rounds to 5 places
            assert entry["other"]["mrr@10"] == pytest.approx(theirs[tag]["mrr_at_10"], abs=1e-5)
            assert entry["other"]["recall@10"] == pytest.approx(theirs[tag]["recall_at_10"], abs=1e-5)
        assert 0.05 < task["mean"] < 0.99
