"""The catalogues of installed packages as a parallel corpus."""

import gettext
import importlib.util
import struct
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from mmbert.data import CatalogueCorpus, ParallelCorpus
from mmbert.data.corpora.demo import chunks
from mmbert.data.corpora.gettext_files import locale_of, read_messages
from mmbert.languages import entry_phase
from mmbert.languages.tags import CODE

PACKAGES = ("django", "sphinx", "pycountry")
absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_packages = pytest.mark.skipif(bool(absent), reason=f"not installed: {absent} (extra demo)")


@pytest.fixture(scope="module")
def corpus():
    return CatalogueCorpus()


@pytest.fixture(scope="module")
def pairs(corpus):
    return {split: list(corpus.pairs(split)) for split in ("train", "heldout")}


@pytest.fixture(scope="module")
def documents(corpus):
    return {split: list(corpus.documents(split)) for split in ("train", "heldout")}


def write_mo(path, messages, order="<"):
    """Writes a .mo file as the GNU gettext manual describes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = sorted((english.encode(), text.encode()) for english, text in {"": "charset=UTF-8", **messages}.items())
    tables, strings = b"", b""
    start = 28 + 16 * len(entries)
    for column in (0, 1):
        for entry in entries:
            tables += struct.pack(f"{order}2I", len(entry[column]), start + len(strings))
            strings += entry[column] + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    path.write_bytes(head + tables + strings)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package with catalogues, importable by name."""
    root = tmp_path / "toycatalogues"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "views.py").write_text("def view():\n    return 1\n\n\ndef other():\n    return 2\n")
    information = tmp_path / "toycatalogues-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: ToyCatalogues\nVersion: 1.2\nLicense-Expression: MIT\n"
        "Project-URL: Homepage, https://example.org\n"
    )
    german = {
        "Save": "Sichern",
        "menu\x04Save": "Sichern",  # the same words in a context
        "Keep": "Sichern",  # the same translation of other words
        "OK": "OK",  # untranslated
        "Blank": " ",
        "%d day\0%d days": "%d Tag\0%d Tage",
        "Cafe": "Cafe\u0301",  # not in NFC
    }
    write_mo(root / "locale" / "de" / "LC_MESSAGES" / "a.mo", german)
    write_mo(root / "locale" / "de_AT" / "LC_MESSAGES" / "a.mo", {"Save": "Speichern", "Cafe": "Café"})
    write_mo(root / "locale" / "en_GB" / "LC_MESSAGES" / "a.mo", {"Color": "Colour"})
    write_mo(root / "locale" / "sr@latin" / "LC_MESSAGES" / "a.mo", {"Save": "Sačuvaj"})
    write_mo(root / "locale" / "qq" / "LC_MESSAGES" / "a.mo", {"Save": "123"})
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_toy_catalogue_in_full(package):
    corpus = CatalogueCorpus(["toycatalogues"], heldout_fraction=0.0)
    assert isinstance(corpus, ParallelCorpus)
    found = {document.key: (document.language, document.text) for document in corpus.documents("train")}
    assert found == {
        "toycatalogues/de#0": ("deu_Latn", "%d Tag\n%d Tage\nCafé\nSichern"),
        "toycatalogues/de_AT#0": ("deu_Latn", "Speichern"),
        "toycatalogues/sr@latin#0": ("srp_Latn", "Sačuvaj"),
        "toycatalogues/en#0": ("eng_Latn", "%d day\n%d days\nBlank\nCafe\nColor\nKeep\nOK\nSave"),
        "toycatalogues/views.py#0": ("code", "def view():\n    return 1\n\n\ndef other():\n    return 2"),
    }
    triples = {(pair.language, pair.english, pair.text) for pair in corpus.pairs("train")}
    assert triples == {
        ("deu_Latn", "%d days", "%d Tage"),
        ("deu_Latn", "Cafe", "Café"),
        (
            "deu_Latn",
            "Keep",
            "Sichern",
        ),  # first in the catalogue; "Save" has the same translation, Austria's comes later
        ("deu_Latn", "Save", "Speichern"),
        ("srp_Latn", "Save", "Sačuvaj"),
    }
    source = corpus.sources()["ToyCatalogues"]
    assert (source.version, source.licence, source.url) == ("1.2", "MIT", "https://example.org")
    assert corpus.skipped == {
        "untranslated": 1,
        "empty": 2,  # "Blank" and __init__.py
        "duplicate": 3,  # "Sichern" twice more, "Café" of Austria
        "translation into English": 1,
        "no letters": 1,
    }
    assert corpus.bytes_per_language()["srp_Latn"] == len("Sačuvaj".encode())


def test_chosen_languages(package):
    corpus = CatalogueCorpus(["toycatalogues"], languages=["srp_Latn", "code"])
    assert corpus.languages() == ["code", "srp_Latn"]
    with pytest.raises(ValueError, match="no language 'srp_Cyrl'; did you mean srp_Latn"):
        CatalogueCorpus(["toycatalogues"], languages=["srp_Cyrl"]).languages()


@pytest.mark.parametrize("damage", ["truncated", "empty", "another file", "not UTF-8"])
def test_damaged_catalogue_is_named_or_counted(package, damage):
    path = package / "locale" / "de" / "LC_MESSAGES" / "a.mo"
    whole = path.read_bytes()
    broken = {
        "truncated": whole[:-10],
        "empty": b"",
        "another file": b"msgid" * 20,
        "not UTF-8": whole.replace(b"Sichern", b"S\xff\xffhern"),
    }
    path.write_bytes(broken[damage])
    with pytest.raises(ValueError, match=r"a.mo is no whole UTF-8 .mo file"):
        CatalogueCorpus(["toycatalogues"]).languages()
    corpus = CatalogueCorpus(["toycatalogues"], on_bad_row="skip")
    assert corpus.bytes_per_language()["deu_Latn"] == len("SpeichernCafé".encode())
    assert corpus.skipped["unreadable file"] == 1


def test_damaged_source_is_named_or_counted(package):
    (package / "views.py").write_bytes(b"x = '\xff'")
    with pytest.raises(ValueError, match=r"views.py is no readable"):
        CatalogueCorpus(["toycatalogues"]).languages()
    corpus = CatalogueCorpus(["toycatalogues"], on_bad_row="skip")
    assert CODE not in corpus.languages()
    assert corpus.skipped["unreadable file"] == 1


def test_refusals(package, tmp_path):
    with pytest.raises(ImportError, match=r'pip install "mmbert\[demo\]"'):
        CatalogueCorpus(["no_such_package_here"])
    with pytest.raises(ValueError, match="heldout_fraction"):
        CatalogueCorpus(["toycatalogues"], heldout_fraction=1.5)
    with pytest.raises(ValueError, match="on_bad_row"):
        CatalogueCorpus(["toycatalogues"], on_bad_row="ignore")
    with pytest.raises(ValueError, match="'train' and 'heldout'"):
        list(CatalogueCorpus(["toycatalogues"]).pairs("test"))
    for path in package.rglob("*.mo"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no .mo files"):
        CatalogueCorpus(["toycatalogues"]).languages()


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, order):
    write_mo(tmp_path / "fr" / "LC_MESSAGES" / "a.mo", {"Save": "Enregistrer"}, order)
    messages = read_messages(tmp_path / "fr" / "LC_MESSAGES" / "a.mo")
    assert [tuple(message) for message in messages] == [("Save", None, ("Enregistrer",))]


@needs_packages
def test_messages_are_those_of_the_standard_library():
    """gettext.GNUTranslations is the reference, for every locale of Sphinx and a large file of Django."""
    roots = [Path(importlib.util.find_spec(name).submodule_search_locations[0]) for name in ("sphinx", "django")]
    paths = sorted(roots[0].rglob("*.mo")) + sorted((roots[1] / "conf" / "locale").rglob("django.mo"))[:20]
    assert len(paths) > 60
    for path in paths:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog
        expected = Counter()
        for message_id, text in catalogue.items():
            name = message_id[0] if isinstance(message_id, tuple) else message_id
            if name:
                expected[name.rpartition("\x04")[2], text] += 1
        found = Counter((message.singular, form) for message in read_messages(path) for form in message.forms)
        assert found == expected, path
        assert locale_of(path) == path.parts[-3]


@needs_packages
def test_enough_languages_and_text(corpus):
    sizes = corpus.bytes_per_language()
    assert len(sizes) >= 155
    natural = {tag: size for tag, size in sizes.items() if tag != CODE}
    assert sum(natural.values()) > 8_000_000
    assert sum(size >= 5000 for size in natural.values()) >= 100
    assert sizes[CODE] > 5_000_000
    for tag in (
        "eng_Latn",
        "cmn_Hans",
        "cmn_Hant",
        "srp_Cyrl",
        "srp_Latn",
        "tat_Cyrl",
        "tat_Latn",
        "jpn_Jpan",
        "kor_Kore",
    ):
        assert sizes[tag] > 5000, tag
    by_phase = Counter(entry_phase(tag) for tag, size in sizes.items() if size >= 5000)
    assert by_phase[1] >= 55 and by_phase[2] >= 20 and by_phase[3] >= 20
    assert corpus.languages() == sorted(sizes)


@needs_packages
def test_licences_are_recorded(corpus, documents):
    licences = {name: source.licence for name, source in corpus.sources().items()}
    assert licences["Django"].startswith("BSD") and licences["Sphinx"].startswith("BSD")
    assert licences["pycountry"].startswith("LGPL")
    assert all(source.version and source.url.startswith("https://") for source in corpus.sources().values())
    assert {document.source for split in documents.values() for document in split} == set(licences)


@needs_packages
def test_pairs_stay_parallel_over_the_split(pairs):
    english = {split: {pair.english for pair in pairs[split]} for split in pairs}
    assert not english["train"] & english["heldout"]
    share = len(english["heldout"]) / (len(english["train"]) + len(english["heldout"]))
    assert 0.08 < share < 0.12
    assert {pair.key for pair in pairs["train"]}.isdisjoint(pair.key for pair in pairs["heldout"])
    everything = pairs["train"] + pairs["heldout"]
    assert len({(pair.language, pair.key) for pair in everything}) == len(everything)  # one text for an English string
    assert len({(pair.language, pair.text) for pair in everything}) == len(everything)  # and no text twice
    keys = defaultdict(set)
    for pair in everything:
        keys[pair.english].add(pair.key)
        assert pair.text and pair.text != pair.english and pair.language not in ("eng_Latn", CODE)
    assert all(len(found) == 1 for found in keys.values())
    held = Counter(pair.key for pair in pairs["heldout"])
    assert max(held.values()) > 80  # one held-out string in many languages


@needs_packages
def test_documents_of_both_splits_share_no_string(documents):
    strings = {"train": set(), "heldout": set()}
    for split, found in strings.items():
        for document in documents[split]:
            if document.source == "pycountry" and document.language != CODE:  # its strings have one line each
                found.update((document.language, line) for line in document.text.split("\n"))
    assert len(strings["train"]) > 200_000 and len(strings["heldout"]) > 20_000
    assert not strings["train"] & strings["heldout"]


@needs_packages
def test_documents_have_a_useful_size_and_form(documents):
    natural = [document for document in documents["train"] if document.language != CODE]
    lengths = sorted(len(document.text) for document in natural)
    assert lengths[len(lengths) // 20] >= 290
    assert lengths[-len(lengths) // 50] <= 600
    assert all(unicodedata.is_normalized("NFC", document.text) and document.text.strip() for document in natural)
    keys = [document.key for split in documents.values() for document in split]
    assert len(set(zip(keys, [split for split in documents for _ in documents[split]], strict=True))) == len(keys)


@needs_packages
def test_source_files_are_split_whole(documents):
    files = {split: {d.key.split("#")[0] for d in documents[split] if d.language == CODE} for split in documents}
    assert not files["train"] & files["heldout"]
    assert 0.06 < len(files["heldout"]) / (len(files["train"]) + len(files["heldout"])) < 0.14
    sizes = [len(document.text) for document in documents["train"] if document.language == CODE]
    assert max(sizes) <= 3000 and sorted(sizes)[len(sizes) // 2] > 1500


@needs_packages
def test_reading_twice_gives_the_same(corpus, documents):
    assert list(CatalogueCorpus().documents("heldout")) == documents["heldout"]


def test_chunks_lose_nothing_but_blank_edges():
    blocks = [f"def f{n}():\n    return {n}\n" + "    # more\n" * (n % 5) for n in range(200)]
    text = "\n\n".join(blocks)
    cut = list(chunks(text, 500))
    assert "\n".join(cut).split() == text.split()
    assert all(len(chunk) <= 500 and chunk.startswith("def") for chunk in cut)  # whole functions
    assert list(chunks("\n\n  \n")) == []
    assert list(chunks("x" * 700 + "\n" + "y\n", 500)) == ["x" * 700, "y"]
    assert next(chunks("x = [\n" + "  1,\n" * 300 + "]", 500)).startswith("x = [")
