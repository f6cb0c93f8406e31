"""Scores after fine-tuning on the card: the table, the model-index, and nothing that the test chose."""

import pytest
from mmbert.model_cards import build_card


def task(choice, mean):
    return {
        "title": "SIB-200",
        "metric": "accuracy",
        "choice": choice,
        "seeds": [1, 2],
        "mean": mean,
        "sd": 0.012,
        "baseline": 0.25,
        "rows": {"test": 1200},
        "languages": {
            "eng_Latn": {"tokens": {"rows": 300, "cut": 0.0}},
            "khm_Khmr": {"tokens": {"rows": 100, "cut": 0.6}},
        },
        "setting": {"learning_rate": 5e-4, "epochs": 5.0},
    }


def test_the_card_tells_what_fine_tuning_gave(small_record):
    entry = {
        "task_type": "text-classification",
        "dataset_type": "Davlan/sib200",
        "dataset_name": "SIB-200 (mean over 2 languages)",
        "dataset_config": "all",
        "dataset_split": "test",
        "metric_type": "accuracy",
        "metric_value": 61.2,
    }
    report = {"tasks": [task("dev", 0.6123), task("test (oracle)", 0.9)], "model_index": [entry]}
    card = build_card(small_record, evaluation=report)
    assert (
        "| SIB-200 | accuracy | 2 | 1,200 | 2 | 61.2 ± 1.2 | 25.0 | 15% (khm_Khmr 60%) | 0.0005 x 5 |" in card.content
    )
    assert "90.0" not in card.content
    (found,) = [result for result in card.data.eval_results if result.dataset_type == "Davlan/sib200"]
    assert found.metric_value == pytest.approx(61.2)
    assert "After fine-tuning" not in build_card(small_record).content
