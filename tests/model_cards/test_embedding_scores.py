"""Scores go into the card of an embedder's folder, once, and leave what its author wrote."""

import pytest
from mmbert.model_cards import add_embedding_scores


def report(score):
    entry = {"mean": score, "baseline": 0.1, "rows": 12, "interval": [score - 0.1, score + 0.1]}
    task = {
        "title": "XQuAD passages",
        "metric": "ndcg@10",
        "mean": score,
        "baseline": 0.1,
        "languages": {"deu_Latn": entry, "hin_Deva": entry},
        "groups": {"phase 1": {"mean": score}},
    }
    index = [
        {
            "task_type": "text-retrieval",
            "dataset_type": "embedding/xquad",
            "dataset_name": f"XQuAD passages ({tag})",
            "dataset_config": tag,
            "dataset_split": "test",
            "metric_type": "ndcg@10",
            "metric_name": "ndcg@10, zero-shot",
            "metric_value": round(100 * score, 2),
        }
        for tag in ("deu_Latn", "hin_Deva")
    ]
    return {"tasks": [task], "model_index": index}


def test_the_section_is_replaced_and_the_rest_stays(tmp_path):
    from huggingface_hub import ModelCard

    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n\nWords of mine.\n", encoding="utf-8")
    for score in (0.25, 0.75):
        path = add_embedding_scores(tmp_path, report(score))
    card = ModelCard.load(path)
    assert "Words of mine." in card.text and card.data.license == "mit"
    assert card.text.count("## Retrieval and similarity by language") == 1
    assert "| hin_Deva | 75.0 (n 12: 65 to 85) |" in card.text and "25.0" not in card.text
    assert "| XQuAD passages | ndcg@10 | 2 | 24 | 75.0 | 10.0 |" in card.text
    results = {one.dataset_config: one.metric_value for one in card.data.eval_results}
    assert results == {"deu_Latn": 75.0, "hin_Deva": 75.0}


def test_a_card_is_made_where_there_is_none(tmp_path):
    from huggingface_hub import ModelCard

    path = add_embedding_scores(tmp_path, report(0.5))
    assert "| phase 1 | 50.0 |" in path.read_text(encoding="utf-8")
    assert len(ModelCard.load(path).data.eval_results) == 2
    with pytest.raises(FileNotFoundError, match="no folder"):
        add_embedding_scores(tmp_path / "nowhere", report(0.5))
    with pytest.raises(ValueError, match="0 scores"):
        add_embedding_scores(tmp_path, {"tasks": [], "model_index": []})
