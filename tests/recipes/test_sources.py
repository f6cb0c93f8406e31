"""Data sets of a recipe: what they hold, and what is refused, by line and key."""

import json

import pytest
from mmbert import Recipe

RECIPE = """
name: listed
data:
  tokenizer: someone/tokenizer
  sources:
    - id: someone/web
      phases: [pretrain, decay-all]
      licence: odc-by
      tokens: {pretrain: 1.5B}
    - id: someone/code
      part: python
      phases: [pretrain]
      languages: [code]
      format: mds
      licence: mit
      note: accept the terms first
phases:
  - name: pretrain
    languages: [code, eng_Latn]
    temperature: 0.7
    masking_ratio: 0.3
    context_length: 1024
    rope_theta: 10000
    tokens: 2B
    batch_rows: 4608
    learning_rate: 8e-4
  - name: decay
    masking_ratio: 0.05
variants:
  decay-all: {languages: all}
"""


def read(tmp_path, old="", new=""):
    assert old in RECIPE
    path = tmp_path / "listed.yaml"
    path.write_text(RECIPE.replace(old, new, 1) if old else RECIPE, encoding="utf-8")
    return Recipe.from_yaml(path)


def test_sources_are_what_the_file_says(tmp_path):
    web, code = read(tmp_path).data.sources
    assert (web.id, web.licence, web.phases, web.format) == ("someone/web", "odc-by", ("pretrain", "decay-all"), "text")
    assert web.reads_all and dict(web.tokens) == {"pretrain": 1_500_000_000}
    assert (code.part, code.languages, code.format) == ("python", ("code",), "mds")
    assert code.note == "accept the terms first" and not code.tokens


def test_they_are_part_of_the_recipe_and_of_its_fingerprint(tmp_path):
    recipe = read(tmp_path)
    plain = json.loads(json.dumps(recipe.to_dict()))["data"]["sources"]
    assert plain[0]["tokens"] == {"pretrain": 1_500_000_000} and plain[1]["languages"] == ["code"]
    assert recipe.fingerprint() != read(tmp_path, "licence: mit", "licence: other").fingerprint()
    assert "sources" not in Recipe.load("demo").to_dict()["data"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("      licence: mit\n", "", r"line 10, data.sources\[1\].licence: missing key"),
        ("part: python", "folder: python", r"line 11, data.sources\[1\].folder: unknown key; a source knows id"),
        ("format: mds", "format: csv", r"line 14, data.sources\[1\].format: must be one of text, mds, got 'csv'"),
        ("phases: [pretrain]", "phases: [midtrain]", r"line 12, .*'midtrain', which is no phase or variant; pretrain"),
        ("phases: [pretrain]", "phases: pretrain", r"line 12, .*must be a list, got 'pretrain'"),
        ("phases: [pretrain]", "phases: []", r"line 12, data.sources\[1\].phases: is empty"),
        ("[code]\n", "[fra_Latn]\n", r"line 13, data.sources\[1\].languages: names fra_Latn, which none of its phases"),
        ("{pretrain: 1.5B}", "{decay: 1.5B}", r"line 9, .*tokens.decay: is none of its phases pretrain, decay-all"),
        ("{pretrain: 1.5B}", "{pretrain: much}", r"line 9, .*tokens.pretrain: expected a finite number, got 'much'"),
        ("{pretrain: 1.5B}", "1.5B", r"line 9, data.sources\[0\].tokens: must map phases to tokens, got '1.5B'"),
    ],
)
def test_a_wrong_source_is_refused_by_line_and_key(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, old, new)
    assert "\n" not in str(caught.value)


def test_sources_are_a_list_of_mappings(tmp_path):
    start = RECIPE.index("  sources:")
    end = RECIPE.index("phases:\n  - name")
    for text, message in (("  sources: web\n", "must be a list"), ("  sources: [web]\n", r"must be a mapping with id")):
        path = tmp_path / "wrong.yaml"
        path.write_text(RECIPE[:start] + text + RECIPE[end:], encoding="utf-8")
        with pytest.raises(ValueError, match=rf"wrong.yaml line 5, data.sources.*{message}"):
            Recipe.from_yaml(path)
