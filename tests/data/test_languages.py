"""Language tags and the published counts behind them."""

import re

import pytest
from mmbert.languages.scripts import script_of, tag_of_locale
from mmbert.languages.tags import (
    PHASES,
    check_languages,
    entry_phase,
    is_language_tag,
    known_codes,
    language_code,
    near_matches,
    published_token_counts,
)

# Totals in billions of tokens and numbers of rows (languages and code) as the authors' dataset cards state them.
PUBLISHED = {
    "pretrain": (61, 1989.0),
    "ext": (110, 600.8),
    "decay-eng": (110, 104.4),
    "decay-mid": (110, 103.3),
    "decay-all": (1834, 114.2),
}


@pytest.mark.parametrize("phase", PHASES)
def test_counts_are_the_published_ones(phase):
    counts = published_token_counts(phase)
    rows, billions = PUBLISHED[phase]
    assert len(counts) == rows
    assert sum(counts.values()) / 1e9 == pytest.approx(billions, abs=0.06)
    assert min(counts.values()) > 0


def test_single_counts_and_phases():
    assert published_token_counts("pretrain")["eng"] / 1e9 == pytest.approx(686.4, abs=0.05)
    assert published_token_counts("pretrain")["xho"] / 1e9 == pytest.approx(0.190, abs=0.001)
    assert published_token_counts("decay-all")["fao"] / 1e6 == pytest.approx(285.2, abs=0.1)
    phases = {tag: entry_phase(tag) for tag in ("eng_Latn", "code", "cat_Latn", "srp_Cyrl", "fao_Latn", "hau_Latn")}
    assert phases == {"eng_Latn": 1, "code": 1, "cat_Latn": 2, "srp_Cyrl": 2, "fao_Latn": 3, "hau_Latn": None}
    assert (entry_phase("en"), entry_phase("zho"), entry_phase("fo"), entry_phase("xx")) == (1, 1, 3, None)
    assert len(known_codes()) == 1833
    with pytest.raises(ValueError, match="decay-all"):
        published_token_counts("decay")


@pytest.mark.parametrize("tag", ["code", "eng_Latn", "cmn_Hans", "cmn_Hant", "jpn_Jpan", "srp_Cyrl", "srp_Latn"])
def test_good_tags(tag):
    assert is_language_tag(tag)
    check_languages([tag])


@pytest.mark.parametrize(
    ("tag", "meant"),
    [
        ("swa_Latn", "swh_Latn"),  # a macrolanguage
        ("zho_Hans", "cmn_Hans"),
        ("pt-BR", "por_Ssss"),  # a locale
        ("en", "eng_Ssss"),
        ("eng", "eng_Ssss"),  # no script
        ("eng_latn", "eng_Latn"),  # wrong case
        ("Code", "code"),
        ("fao_Lattn", "fao_Ssss"),  # no script code
    ],
)
def test_unknown_tag_names_what_was_meant(tag, meant):
    assert not is_language_tag(tag)
    assert meant in near_matches(tag)
    with pytest.raises(ValueError, match=f"{re.escape(repr(tag))}.*Did you mean.*{meant}") as caught:
        check_languages(["eng_Latn", tag])
    assert "\n" not in str(caught.value)


def test_languages_beyond_the_counts_are_named_by_the_user():
    with pytest.raises(ValueError, match="extra_languages"):
        check_languages(["hau_Latn"])
    check_languages(["hau_Latn"], extra_languages=["hau"])
    check_languages(["hau_Latn"], extra_languages=["hau_Latn"])
    check_languages(["xx-private"], extra_languages=["xx-private"])


def test_language_codes_are_iso_639_3_apart_from_macrolanguages():
    """pycountry's ISO table is the reference: two letters and three letters of one language meet in one code."""
    pycountry = pytest.importorskip("pycountry")
    two_letters = {entry.alpha_2: entry.alpha_3 for entry in pycountry.languages if hasattr(entry, "alpha_2")}
    assert len(two_letters) > 180
    for short, long in two_letters.items():
        assert language_code(short) == language_code(long), short
        individual = pycountry.languages.get(alpha_3=language_code(short))
        assert individual is not None, short


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello, Мир!", "Latn"),
        ("Привет", "Cyrl"),
        ("日本語のテスト", "Jpan"),
        ("漢字", "Hani"),
        ("한국어 漢字", "Kore"),
        ("नमस्ते", "Deva"),
        ("ܫܠܡܐ", "Syrc"),
        ("ꦗꦮ", "Java"),
        ("123 !?", None),
        ("", None),
    ],
)
def test_script_is_measured(text, script):
    assert script_of(text) == script


@pytest.mark.parametrize(
    ("locale", "text", "tag"),
    [
        ("pt_BR", "olá", "por_Latn"),
        ("zh_Hans", "汉字", "cmn_Hans"),
        ("zh_CN", "汉字", "cmn_Hans"),
        ("zh_TW.Big5", "漢字", "cmn_Hant"),
        ("zh_HK", "漢字", "cmn_Hant"),
        ("sr", "здраво", "srp_Cyrl"),
        ("sr@latin", "zdravo", "srp_Latn"),
        ("sr_Latn", "zdravo", "srp_Latn"),
        ("tt@iqtelif", "sälam", "tat_Latn"),
        ("ca@valencia", "hola", "cat_Latn"),
        ("az", "salam", "azj_Latn"),
        ("nb_NO", "hei", "nob_Latn"),
        ("no", "hei", "nob_Latn"),
        ("tl", "kumusta", "fil_Latn"),
        ("pa_PK", "سلام", "pnb_Arab"),
        ("ja", "日本語です", "jpn_Jpan"),
        ("yue", "漢字", "yue_Hant"),
        ("hsb", "witaj", "hsb_Latn"),
        ("af", "123", None),
    ],
)
def test_locale_becomes_tag(locale, text, tag):
    assert tag_of_locale(locale, text) == tag
