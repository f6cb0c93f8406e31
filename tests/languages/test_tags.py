"""Language tags and the published counts behind them."""

import json
import re

import pytest
from mmbert.data import read_labelled
from mmbert.languages import (
    canonical_names,
    canonical_tag,
    check_languages,
    choose_tags,
    entry_phase,
    is_language_tag,
    is_unspaced,
    is_written_in,
    iso_codes,
    known_codes,
    known_scripts,
    known_tag,
    language_code,
    language_name,
    near_matches,
    note_tags,
    published_token_counts,
    questions_about,
    same_language,
    script_of,
    scripts_of_tags,
    tag_in_name,
    tag_of_locale,
)
from mmbert.languages.tags import _RETIRED, PHASES
from mmbert.recipes import Recipe

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
    assert entry_phase("code_python") == entry_phase("code_go") == 1
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
        ("pt-BR", "por_Latn"),  # a locale
        ("en", "eng_Latn"),
        ("deu", "deu_Latn"),  # no script: the language's own
        ("eng_latn", "eng_Latn"),  # wrong case
        ("Code", "code"),
        ("fao_Lattn", "fao_Latn"),  # no script code
        ("spanich", "spa_Latn"),
    ],
)
def test_unknown_tag_names_what_was_meant(tag, meant):
    assert not is_language_tag(tag)
    assert meant in near_matches(tag)
    with pytest.raises(ValueError, match=f"{re.escape(repr(tag))}.*Did you mean.*{meant}") as caught:
        check_languages(["eng_Latn", tag])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        # ISO 639-1, -2 in both forms, -3; macrolanguages; withdrawn and retired codes
        *(("de", "deu_Latn"), ("zh", "cmn_Hans"), ("no", "nob_Latn"), ("uz", "uzn_Latn"), ("ha", "hau_Latn")),
        *(("ger", "deu_Latn"), ("fre", "fra_Latn"), ("chi", "cmn_Hans"), ("alb", "als_Latn"), ("per", "fas_Arab")),
        *(("cmn", "cmn_Hans"), ("arb", "arb_Arab"), ("kor", "kor_Kore"), ("yue", "yue_Hant"), ("pbt", "pbt_Arab")),
        *(("ara", "arb_Arab"), ("swa_Latn", "swh_Latn"), ("zho_Hans", "cmn_Hans"), ("kon_Latn", "kng_Latn")),
        *(("kur_Arab", "ckb_Arab"), ("kur_Latn", "kmr_Latn"), ("aze_Arab", "azb_Arab"), ("hbs_Cyrl", "srp_Cyrl")),
        *(("iw", "heb_Hebr"), ("in", "ind_Latn"), ("ji", "ydd_Hebr"), ("jw", "jav_Latn"), ("mo", "ron_Latn")),
        *(("sh", "srp_Latn"), ("ajp_Arab", "apc_Arab"), ("scr", "hrv_Latn"), ("tgl_Latn", "fil_Latn")),
        # an individual code for one that mmBERT has under its macrolanguage; Dari is not Persian of Iran
        *(("pes_Arab", "fas_Arab"), ("dgo_Deva", "doi_Deva"), ("prs_Arab", "prs_Arab"), ("emk_Latn", "emk_Latn")),
        # BCP 47 and locales
        *(("sr-Latn", "srp_Latn"), ("pt_BR", "por_Latn"), ("zh-TW", "cmn_Hant"), ("zh-yue", "yue_Hant")),
        *(("sr-Latn-RS", "srp_Latn"), ("sr_ME", "srp_Latn"), ("de-CH-1996", "deu_Latn"), ("en_US.UTF-8", "eng_Latn")),
        *(("pa_PK", "pnb_Arab"), ("az_IR", "azb_Arab"), ("eng_latn", "eng_Latn"), ("ENG-LATN", "eng_Latn")),
        # names
        *(("Deutsch", "deu_Latn"), ("Farsi", "fas_Arab"), ("scottish_gaelic", "gla_Latn"), ("中文", "cmn_Hans")),
        *(("serbian_latin", "srp_Latn"), ("Serbian (Cyrillic)", "srp_Cyrl"), ("chinese_simplified", "cmn_Hans")),
        *(("Standard Arabic", "arb_Arab"), ("Tunisian Arabic", "aeb_Arab"), ("Bengali (Bengali)", "ben_Beng")),
        *(("code", "code"), ("Code", "code"), ("Germanish", "deu_Latn"), ("Swahili language", "swh_Latn")),
        # Wikipedias
        *(("fiu-vro", "vro_Latn"), ("bat_smg", "sgs_Latn"), ("roa-rup", "rup_Latn"), ("zh-classical", "lzh_Hans")),
        *((word, None) for word in ("qqq", "xx", "False", "none", "", "texts", "12", "eng_Lattn_x", "nosuchthing")),
    ],
)
def test_every_spelling_leads_to_the_tag_in_use(theirs, ours):
    assert canonical_tag(theirs) == ours
    if ours is not None:
        assert canonical_tag(ours) == ours and same_language(theirs, ours)
        assert entry_phase(theirs) == entry_phase(ours)


def test_every_code_of_the_iso_has_a_tag_hint_or_message():
    """python-iso639's tables: all B codes, and all macrolanguages with a member in the list, lead to the right code."""
    from iso639 import ALL_LANGUAGES

    for language in ALL_LANGUAGES:
        if language.part2b and language.part2b != language.part3:
            assert canonical_tag(language.part2b) == canonical_tag(language.part3) is not None
    members = {}
    for language in ALL_LANGUAGES:
        if language.macrolanguage and language.part3 in known_codes():
            members.setdefault(language.macrolanguage, set()).add(language.part3)
    outside = {macro: found for macro, found in members.items() if macro not in known_codes()}
    assert len(outside) == 52
    assert all(canonical_tag(macro).partition("_")[0] in found for macro, found in outside.items())
    retired = {
        one.part3: one.retire_change_to for one in ALL_LANGUAGES if one.part3 in known_codes() and one.status == "R"
    }
    assert set(retired) == {*_RETIRED, "eml"} and retired["tpw"] == _RETIRED["tpw"]


def test_codes_that_iso_knows_today():
    assert [iso_codes(code) for code in ("daf", "kzj", "tpw", "eml")] == [["dnj"], ["dtp"], ["tpn"], ["egl", "rgn"]]
    assert [iso_codes(code) for code in ("nah", "zzz", "cmn", "pbt")] == [["nah"], [], ["zh"], ["ps"]]
    assert all(map(iso_codes, known_codes()))


def test_names_and_scripts_of_languages():
    names = {"swh_Latn": "Swahili", "ell_Grek": "Greek", "chr_Cher": "Cherokee", "qqq_Latn": "qqq_Latn"}
    assert {tag: language_name(tag) for tag in names} == names
    assert known_scripts("srp") == ("Cyrl", "Latn") and known_scripts("hau") == () and known_scripts("eng") == ("Latn",)


def test_a_source_is_read_in_mmberts_tags_with_one_line(caplog):
    tags = ["zho_Hans", "de", "deu_Latn", "hau_Latn", "ha", "qqq_Latn", "deu_Hant", "daf_Latn", "dnj_Latn"]
    read = {tag: known_tag(tag, ("hau",)) for tag in tags}
    ours = ["cmn_Hans", "deu_Latn", "deu_Latn", "hau_Latn", "hau_Latn", None, "deu_Hant", "daf_Latn", "dnj_Latn"]
    assert list(read.values()) == ours
    assert known_tag("hau_Latn") is None and known_tag("hau_Latn", ("Hausa",)) == "hau_Latn"
    note_tags("rows.jsonl", {theirs: tag for theirs, tag in read.items() if tag})
    (record,) = caplog.records
    line = record.getMessage()
    assert "de as deu_Latn, ha as hau_Latn, zho_Hans as cmn_Hans." in line
    assert "deu_Hant: German is not known to be written in Hant; did you mean deu_Latn?" in line
    assert "daf_Latn and dnj_Latn are one language" in line
    names = canonical_names(["zh", "zh-Hant", "German", "sr", "code"])
    assert names == ("cmn", "cmn_Hant", "deu_Latn", "srp", "code")
    assert canonical_names(["zh"], whole=True) == ("cmn_Hans",)
    with pytest.raises(ValueError, match="Did you mean"):
        canonical_names(["deu_Lantn"])
    assert not questions_about(["kaz_Arab", "cmn_Hani", "cmn_Hant", "kor_Kore", "srp_Latn", "hau_Latn", "code"])
    assert near_matches("deu_Hant") == ["deu_Latn"]


def test_hints_know_relatives_and_codes_that_name_no_language():
    assert near_matches("prs_Arab")[0] == "fas_Arab" and near_matches("nan")[0].startswith("cmn_")
    assert [near_matches(code) for code in ("und", "mul", "mis", "zxx", "art", "qaa", "und_Latn")] == [[]] * 7


def test_the_text_decides_whether_a_script_is_questioned():
    tags = ["bos_Cyrl", "ccp_Cakm", "jpn_Jpan", "kor_Hang", "cmn_Hant", "srp_Cyrl"]
    texts = {
        "bos_Cyrl": "Сва људска бића рађају се слободна и једнака у достојанству и правима.",
        "ccp_Cakm": "\U00011103\U00011104\U00011105",
        "jpn_Jpan": "すべての人間は、生れながらにして自由であり" * 20,
        "kor_Hang": "모든 인간은 태어날 때부터 자유로우며" * 20,
        "cmn_Hant": "人人生而自由在尊嚴和權利上一律平等" * 20,
        "srp_Cyrl": "Sva ljudska bića rađaju se slobodna i jednaka. " * 10,
    }
    (question,) = questions_about(tags, texts)
    assert question == ("srp_Cyrl: most of its text is in Latn, as the first documents show; did you mean srp_Latn?")
    assert not questions_about(["srp_Cyrl"], {"srp_Cyrl": "COVID-19, Wikipedia"})  # too little to say
    assert len(questions_about(["bos_Cyrl", "deu_Hant"])) == 2


def test_languages_are_chosen_from_what_is_there():
    there = ["cmn_Hans", "cmn_Hant", "eng_Latn", "srp_Latn"]
    assert choose_tags(["zh", "English"], there, "x") == ["cmn_Hans", "cmn_Hant", "eng_Latn"]
    assert choose_tags(["zh-Hant", "sr"], there, "x") == ["cmn_Hant", "srp_Latn"]
    with pytest.raises(ValueError, match=r"x has no language 'srp_Cyrl'; did you mean srp_Latn.* there are cmn_Hans"):
        choose_tags(["srp_Cyrl"], there, "x")


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        *(("sw_train.tsv", "swh_Latn"), ("sw/train.tsv", "swh_Latn"), ("swh_Latn_train.tsv", "swh_Latn")),
        *(("hau/test.txt", "hau_Latn"), ("train-de.jsonl.gz", "deu_Latn"), ("zh-CN.jsonl", "cmn_Hans")),
        *(("zh-TW.jsonl", "cmn_Hant"), ("no/train.tsv", "nob_Latn"), ("zh_TW/dev.csv", "cmn_Hant")),
        *(("fineweb/swh_Latn/000.parquet", "swh_Latn"), ("da_ddt-ud-train.conllu", "dan_Latn")),
        *(
            (name, None)
            for name in ("dev.jsonl", "data/all.tsv", "train.csv", "reviews.csv", "id.csv", "out/run.txt", "hot.csv")
        ),
    ],
)
def test_language_of_a_file_name(name, tag):
    assert tag_in_name(name) == tag


def test_scripts_are_unicodes():
    assert scripts_of_tags(["jpn_Jpan", "kor_Kore", "code"]) == {"Hani", "Kana", "Hang", "Latn"}
    assert scripts_of_tags(["fuf_Adlm"]) == {"Adlm"}
    assert is_written_in("Größe 12!", scripts_of_tags(["deu_Latn"])) and not is_written_in("мир", frozenset({"Latn"}))
    assert [is_unspaced(text) for text in ("ไทย", "日本", "スー", "한국", "abc", "12")] == [True] * 3 + [False] * 3
    with pytest.raises(ValueError, match="deu_Nope"):
        scripts_of_tags(["deu_Nope"])


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


def test_a_recipe_writes_languages_in_any_spelling(tmp_path, caplog):
    path = tmp_path / "r.yaml"
    path.write_text(
        """name: r
model: {size: small}
data: {corpus: a.txt}
phases:
  - {name: all, languages: [de, "no", zho_Hans, code], shares: {de: 0.2}, temperature: 0.5, masking_ratio: 0.3,
     context_length: 64, rope_theta: 10000, tokens: 10k, batch_rows: 16, learning_rate: 1e-3}
"""
    )
    phase = Recipe.from_yaml(path).phases[0]
    assert phase.languages == ("deu_Latn", "nob_Latn", "cmn_Hans", "code") and phase.shares == {"deu_Latn": 0.2}
    assert caplog.text.count("de as deu_Latn, no as nob_Latn, zho_Hans as cmn_Hans") == 1
    path.write_text(path.read_text().replace("[de,", "[de, ger_Latn,"))
    with pytest.raises(ValueError, match="deu_Latn twice"):
        Recipe.from_yaml(path)


def test_labelled_rows_come_in_mmberts_tags(tmp_path, caplog):
    rows = [("sw", "a"), ("zh-Hans", "b"), ("aka_Latn", "c"), ("twi_Latn", "d"), ("qqq", "e")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"lang": tag, "text": text, "label": "x"}) + "\n" for tag, text in rows))
    found = read_labelled(path)["language"][:]
    # aka's tag in use is another one of this source, so it stays apart
    assert found == ["swh_Latn", "cmn_Hans", "aka_Latn", "twi_Latn", "qqq"]
    assert caplog.text.count("sw as swh_Latn, zh-Hans as cmn_Hans.") == 1
    assert read_labelled(path, languages=["swa"])["language"][:] == ["swh_Latn"]
    with pytest.raises(ValueError, match=r"no row in deu_Latn; there are"):
        read_labelled(path, languages=["deu_Latn"])
    path.write_text("".join(json.dumps({"lang": tag, "text": tag}) + "\n" for tag in ("python", "c++", "java", "rust")))
    assert read_labelled(path)["language"][:] == ["python", "c++", "java", "rust"]


def test_what_says_no_language_is_none():
    assert [canonical_tag(tag) for tag in ("und", "und_Latn", "mul", "zxx", "cbk-zam")] == [None] * 5
    assert [canonical_tag(tag) for tag in ("zh-yue", "ar-ary", "ms-zsm")] == ["yue_Hant", "ary_Arab", "zsm_Latn"]
