"""The card: whole text against a golden file, metadata against the Hub's rules as far as they can be checked here."""

import ast
import json
import os
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from mmbert.model_cards import build_card, read_records
from mmbert.model_cards.cards.metadata import hub_codes, hub_datasets

GOLDEN = Path(__file__).with_name("golden_card.md")
PICTURES = {name: f"pictures/{name}.png" for name in ("schedule", "shares", "loss", "retrieval")}
MERGE = {
    "method": "ties",
    "parents": [{"name": "midtrain"}, {"name": "decay-eng"}, {"name": "decay-all"}],
    "parameters": {"density": 0.2, "scale": 1.0, "weights": None, "trim": "global"},
    "report": {"whole": {"sign_agreement": 0.731}},
    "losses": {"decay-eng": {"high": 2.5, "low": 4.9}, "decay-all": {"high": 2.7, "low": 4.1}, "merged": {"high": 2.6}},
}
# The Hub's tasks that a text encoder can have (huggingface.co/tasks).
TASKS = {
    "feature-extraction",
    "fill-mask",
    "question-answering",
    "sentence-similarity",
    "text-classification",
    "token-classification",
}


@pytest.fixture(scope="module")
def embedder_card(small_record, make_retrieval):
    groups = {tag: entry["group"] for tag, entry in small_record["data"]["languages"].items()}
    retrieval = {"before": make_retrieval(0.15, groups), "after": make_retrieval(0.9, groups)}
    return build_card(
        small_record,
        retrieval=retrieval,
        merge=MERGE,
        pictures=PICTURES,
        repo_id="someone/mmbert-demo",
        base_model="jhu-clsp/mmBERT-small",
        limits=["The text is that of user interfaces."],
    )


def test_the_whole_card_is_as_agreed(embedder_card):
    """After a wanted change: UPDATE_GOLDEN=1 pytest tests/model_cards, then read the difference."""
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(str(embedder_card), encoding="utf-8")
    assert str(embedder_card) == GOLDEN.read_text(encoding="utf-8")


def test_metadata_survive_the_hub_librarys_round_trip(embedder_card, tmp_path):
    embedder_card.save(tmp_path / "README.md")
    again = ModelCard.load(tmp_path / "README.md")
    assert again.data.to_dict() == embedder_card.data.to_dict()
    assert again.data.model_name == "mmbert-demo"
    scores = {result.dataset_config: result.metric_value for result in again.data.eval_results}
    assert scores.keys() == {"all", "cmn_Hans", "isl_Latn", "nob_Latn", "amh_Ethi"}
    assert all(0 < score < 1 for score in scores.values())


def test_metadata_keep_the_hubs_rules(run_record):
    card = build_card(run_record)
    data = card.data
    assert data.pipeline_tag in TASKS and data.library_name == "transformers" and data.license == "apache-2.0"
    assert data.language[-1] == "code" and len(data.language) == len(set(data.language)) > 100
    assert all(re.fullmatch(r"[a-z]{2,3}|code", code) for code in data.language)
    assert {result.task_type for result in data.eval_results} <= TASKS
    configs = [result.dataset_config for result in data.eval_results]
    assert len(configs) == len(set(configs)) == len(run_record["data"]["languages"]) + 4
    for part in ("base_model", "datasets"):
        assert part not in data.to_dict()


def test_norwegian_stays_a_language(small_record):
    """Unquoted, YAML reads the code `no` as False."""
    record = small_record | {"data": small_record["data"] | {"languages": {"nor_Latn": _entry(), "eng_Latn": _entry()}}}
    text = str(build_card(record | {"evaluations": [], "shares": {}}))
    assert yaml.safe_load(text.split("---")[1])["language"] == ["en", "no"]


def _entry():
    return {"tokens": 50_000, "documents": 10, "group": "high"}


def test_losses_of_the_encoder_are_in_the_index_as_recorded(small_record):
    results = {result.dataset_config: result.metric_value for result in build_card(small_record).data.eval_results}
    last = small_record["evaluations"][-1]
    for tag, loss in last["loss"].items():
        assert results[tag] == loss
    assert results["group-low"] == last["group_loss"]["low"]


def test_python_in_the_card_compiles(embedder_card, small_record):
    blocks = re.findall(r"```python\n(.*?)```", str(embedder_card) + str(build_card(small_record)), re.S)
    assert len(blocks) == 4
    for block in blocks:
        ast.parse(block)


def test_tables_have_equal_columns_and_harmless_cells(small_record):
    source = {"name": "a|b", "version": "1\n2", "licence": "MIT", "url": "https://example.org"}
    record = small_record | {"data": small_record["data"] | {"sources": [source]}}
    text = build_card(record).text
    assert r"[a\|b](https://example.org) | 1 2 |" in text
    for table in re.findall(r"(?:^\|.*\|\n?)+", text, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}
        assert len(widths) == 1


def test_a_language_with_little_text_is_named_among_the_limits(small_record):
    languages = small_record["data"]["languages"] | {"wol_Latn": _entry() | {"tokens": 321}}
    record = small_record | {"data": small_record["data"] | {"languages": languages}}
    assert "Languages with fewer than 10,000 tokens of text: 1 (wol_Latn)." in str(build_card(record))


def test_a_run_without_evaluation_has_a_card(small_record):
    card = build_card(small_record | {"evaluations": [], "steps": []})
    assert isinstance(card.data, ModelCardData) and "model-index" not in card.data.to_dict()
    assert "Loss of the encoder" not in card.text


@pytest.mark.parametrize(
    "options, message",
    [
        ({"licence": "apache2"}, "licence 'apache2' is no id of the Hub; did you mean apache-2.0?"),
        ({"base_model": "/home/someone/run/checkpoint-10"}, "is no Hub id: write owner/name"),
    ],
)
def test_what_the_hub_would_refuse_is_refused(small_record, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_card(small_record, **options)
    assert "\n" not in str(caught.value)


def test_a_tag_without_an_iso_code_is_refused():
    with pytest.raises(ValueError, match="'Deutsch' does not start with an ISO 639-3 code"):
        hub_codes(["Deutsch"])


def test_two_letter_codes_agree_with_pycountry():
    languages = pytest.importorskip("pycountry", reason="pycountry is in the extra demo").languages
    direct = {entry.alpha_3: entry.alpha_2 for entry in languages if hasattr(entry, "alpha_2")}
    direct.pop("hbs")  # Serbo-Croatian: its two letters are withdrawn
    assert {code: hub_codes([f"{code}_Latn"])[0] for code in direct} == direct


def test_individual_languages_lead_to_the_code_people_search_for():
    assert hub_codes(["cmn_Hans", "arb_Arab", "ekk_Latn", "ceb_Latn", "code"]) == ["ar", "ceb", "et", "zh", "code"]


def test_datasets_of_the_hub_are_found_in_addresses():
    urls = ["https://huggingface.co/datasets/HuggingFaceFW/fineweb-2", "https://www.djangoproject.com/"]
    assert hub_datasets(urls) == ["HuggingFaceFW/fineweb-2"]


def test_records_are_read_from_a_run(small_record, tmp_path):
    (tmp_path / "run_record.json").write_text(json.dumps(small_record))
    assert read_records(tmp_path) == (small_record, None, None)
    (tmp_path / "merge.json").write_text(json.dumps(MERGE))
    assert read_records(tmp_path)[2] == MERGE
    (tmp_path / "retrieval.json").write_text('{"before": ')
    with pytest.raises(ValueError, match=r"retrieval\.json: not valid JSON"):
        read_records(tmp_path)


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no run_record.json"):
        read_records(tmp_path)


def test_a_merged_masked_language_model_carries_no_score_of_its_variant(small_record):
    from mmbert.model_cards import build_card

    scored = build_card(small_record, merge={**MERGE, "losses": {"merged": {"high": 2.5}}}).data.eval_results
    assert [result.metric_value for result in scored] == [2.5]
    assert not build_card(small_record, merge={**MERGE, "losses": {}}).data.eval_results
