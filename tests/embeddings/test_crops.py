"""Pairs out of running text: what a piece may be, what a document must have, and where documents are read."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.embeddings import read_pairs
from mmbert.embeddings.pairs.random_crops import LEAST, STRETCH, crops

WORDS = [f"word{number}" for number in range(1000)]


def test_pieces_are_five_to_fifty_percent_of_their_stretch():
    lengths = []
    for seed in range(300):
        ((one, other),) = crops(" ".join(WORDS[:100]), seed)
        assert one != other
        lengths += [len(one.split()), len(other.split())]
    assert min(lengths) == 5 and max(lengths) == 50
    assert 25 < sum(lengths) / len(lengths) < 30  # evenly: 27.5


def test_every_stretch_gives_a_pair_of_its_own():
    for count, pairs in ((LEAST - 1, 0), (LEAST, 1), (STRETCH, 1), (3 * STRETCH, 3), (3 * STRETCH + 90, 3), (1000, 5)):
        found = list(crops(" ".join(WORDS[:count])))
        assert len(found) == pairs
        for number, pair in enumerate(found):
            last = count if number + 1 == pairs else (number + 1) * STRETCH
            assert {word for piece in pair for word in piece.split()} <= set(WORDS[number * STRETCH : last])


@pytest.mark.parametrize(
    "text",
    ["東京都の図書館では毎週土曜日に読み聞かせの会が開かれています。", "ประเทศไทยมีภาษาราชการคือภาษาไทยและมีหลายภาษาถิ่น"],
)
def test_scripts_without_blanks_are_cut_between_characters_and_never_before_a_mark(text):
    for seed in range(50):
        ((one, other),) = crops(text, seed)
        for piece in (one, other):
            assert piece in text and len(piece) < len(text)
            after = text[text.index(piece) + len(piece) :][:1]
            assert not unicodedata.category(piece[0]).startswith("M")
            assert not after or text.count(piece) > 1 or not unicodedata.category(after).startswith("M")


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=400), st.integers(0, 3))
def test_pieces_are_the_text_own_letters(text, seed):
    for one, other in crops(text, seed):
        assert one.strip() and other.strip() and one in text and other in text
    assert list(crops(text, seed)) == list(crops(text, seed))


def test_documents_become_pairs_and_short_ones_are_counted(tmp_path):
    rows = [
        {"lang": "eng_Latn", "story": " ".join(WORDS[:400]), "title": "words"},
        {"lang": "deu_Latn", "story": "zu kurz", "title": "kurz"},
        {"lang": "deu_Latn", "story": None, "title": "nichts"},
        {"lang": "fra_Latn", "story": " ".join(WORDS[500:600]), "title": "mots"},
    ]
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs(f"{path}?document=story")
    assert pairs.columns == ("anchor", "positive") and pairs.languages == ["eng_Latn", "eng_Latn", "fra_Latn"]
    assert pairs.skipped == {"document too short for two pieces": 2}
    # Together with rows of another source.
    other = tmp_path / "pairs.jsonl"
    other.write_text('{"query": "q", "passage": "p", "language": "swh_Latn"}\n')
    both = read_pairs(f"{path}?document=story", str(other))
    assert both.rows == [*pairs.rows, ("q", "p")] and both.languages[-1] == "swh_Latn"


def test_a_folder_of_text_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.md").write_text(" ".join(WORDS[:50]))
    (tmp_path / "two.txt").write_text(" ".join(WORDS[50:90]))
    pairs = read_pairs(f"{tmp_path}?document=text")
    assert len(pairs) == 2 and pairs.rows[0][0] in " ".join(WORDS[:50])


def test_what_is_no_document_is_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": 7}\n{"text": 8}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl, row 1, anchor: expected text, got int 7"):
        read_pairs(f"{path}?document=text")
    with pytest.raises(ValueError, match="has no column 'body' for document; it has text"):
        read_pairs(f"{path}?document=body")
    with pytest.raises(ValueError, match="key joins translations, document cuts one text; name one of them"):
        read_pairs(f"{path}?document=text&key=text")
