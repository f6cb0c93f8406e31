"""Labelled rows come out under one set of names whatever file they lie in, and what is wrong is told in one line."""

import json
import logging
from pathlib import Path

import mmbert
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert.data import read_labelled
from mmbert.data.labelled.read import sample_rows
from mmbert.tasks.cli import LabelledSources

SHARED = Path(mmbert.__file__).parent.parent / "shared" / "data"

ROWS = [
    {"lang": "eng_Latn", "split": "train", "premise": "It rains.", "hypothesis": "Take a coat.", "label": 0},
    {"lang": "swh_Latn", "split": "train", "premise": "Mvua inanyesha.", "hypothesis": "Chukua koti.", "label": 0},
    {"lang": "eng_Latn", "split": "validation", "premise": "Snow, ice", "hypothesis": "It is hot.", "label": 1},
]
FORMS = ("parquet", "jsonl", "json", "csv", "tsv")


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(rows[0]), *(mark.join(f'"{v}"' if mark in str(v) else str(v) for v in r.values())
                                       for r in rows)]  # fmt: skip
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_table_gives_the_same_rows(tmp_path, form):
    path = write(tmp_path / f"data.{form}", ROWS)
    rows = read_labelled(path, require=("text", "text_pair", "label"))
    assert rows.column_names == ["language", "text", "text_pair", "label"]
    assert rows["label"][:] == ["0", "0", "1"]
    assert rows["text"][:] == [row["premise"] for row in ROWS]
    assert read_labelled(path, split="dev")["text"][:] == ["Snow, ice"]  # "validation" is the same
    assert read_labelled(path, split="train", languages=["swh_Latn"])["text"][:] == ["Mvua inanyesha."]
    assert read_labelled(path, languages=["eng_Latn"])["language"][:] == ["eng_Latn"] * 2


def test_files_of_a_folder_say_split_and_language(tmp_path):
    for language in ("eng_Latn", "swh_Latn"):
        (tmp_path / language).mkdir()
        for split in ("train", "test"):
            write(tmp_path / language / f"{split}.jsonl", [{"sentence": f"{language} {split}", "category": "a"}])
    rows = read_labelled(tmp_path, split="test")
    assert sorted(zip(rows["language"][:], rows["text"][:], strict=True)) == [
        ("eng_Latn", "eng_Latn test"),
        ("swh_Latn", "swh_Latn test"),
    ]
    with pytest.raises(FileNotFoundError, match="no split 'dev'; its files are of test, train"):
        read_labelled(tmp_path, split="dev")


def test_a_file_of_no_split_among_files_that_say_theirs_is_not_read_into_every_split(tmp_path):
    for name in ("train", "test", "more"):
        write(tmp_path / f"{name}.jsonl", [{"text": name, "label": "a"}])
    for split in ("train", "test"):
        with pytest.raises(ValueError, match=r"more\.jsonl says no split, .* put train, dev or test in its name"):
            read_labelled(tmp_path, split=split)
    assert len(read_labelled(tmp_path)) == 3
    write(tmp_path / "more.jsonl", [{"text": "x", "label": "a", "split": split} for split in ("train", "test")])
    assert [read_labelled(tmp_path, split=split)["text"][:] for split in ("train", "test")] == [
        ["x", "train"],
        ["x", "test"],
    ]


def test_tags_without_script_are_found_and_exact_ones_win(tmp_path):
    path = write(
        tmp_path / "a.jsonl", [{"lang": tag, "text": tag, "label": "x"} for tag in ("sw", "twi_Latn", "aka_Latn")]
    )
    assert read_labelled(path, languages=["swh_Latn"])["language"][:] == ["swh_Latn"]
    assert read_labelled(path, languages=["twi_Latn"])["text"][:] == ["twi_Latn"]  # Akan's macro code is not taken too
    assert read_labelled(write(tmp_path / "b.csv", [{"text": "x", "label": "y"}]))["language"][:] == ["und"]
    given = read_labelled(tmp_path / "b.csv", language="fao_Latn", languages=["fao_Latn"])
    assert given["language"][:] == ["fao_Latn"]


def test_spellings_of_one_language_come_together(tmp_path, caplog):
    rows = [
        {"lang": tag, "text": "x", "label": "y"}
        for tag in ("de", "deu_Latn", "German", "de-AT", "aka_Latn", "twi_Latn")
    ]
    found = read_labelled(write(tmp_path / "a.jsonl", rows))["language"][:]
    assert found == ["deu_Latn"] * 4 + ["aka_Latn", "twi_Latn"]
    assert "German as deu_Latn" in caplog.text and "aka_Latn and twi_Latn are one language" in caplog.text


@pytest.mark.parametrize("sentences", [("1", "1", "2"), ("Anna lives", "Anna lives", "Bob")])
def test_a_column_that_numbers_sentences_is_not_their_text(tmp_path, sentences):
    rows = zip(sentences, ("Anna", "lives", "Bob"), ("B-PER", "O", "B-PER"), strict=True)
    path = tmp_path / "a.csv"
    path.write_text("sentence,word,tag\n" + "".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    found = read_labelled(path)
    assert found["tokens"][:] == [["Anna", "lives"], ["Bob"]]
    assert ("text" in found.column_names) == (sentences[0] != "1")


CONLLU = """# sent_id = a1
# text = Dámelo ya
1-2\tDámelo\t_\t_\t_\t_\t_\t_\t_\t_
1\tDa\tdar\tVERB\tv\t_\t0\troot\t_\t_
2\tme\tyo\tPRON\tp\t_\t1\tobj\t_\t_
2.1\telided\t_\tVERB\t_\t_\t_\t_\t_\t_
3\tya\tya\tADV\tr\t_\t1\tadvmod\t_\t_

1\t#\t#\tSYM\ts\t_\t0\troot\t_\t_
"""


def test_conllu(tmp_path):
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    rows = read_labelled(path, language="spa_Latn")
    assert rows["tokens"][:] == [["Da", "me", "ya"], ["#"]]
    assert rows["tags"][:] == [["VERB", "PRON", "ADV"], ["SYM"]]
    assert rows["text"][:] == ["Dámelo ya", None] and rows["id"][0] == "a1"
    assert read_labelled(path, columns={"tags": "xpos"})["tags"][0] == ["v", "p", "r"]
    with pytest.raises(ValueError, match="no CoNLL column 'pos'"):
        read_labelled(path, columns={"tags": "pos"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.conll", "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nPeter NNP B-PER\n"),  # CoNLL-2003
        ("a.iob2", "# sent_id = 1\n1\tEU\tB-ORG\t-\ttim\n2\trejects\tO\t-\ttim\n\n1\tPeter\tB-PER\t-\ttim\n"),  # UNER
        ("a.bio", "EU B-ORG\nrejects O\n\nPeter B-PER"),  # two columns, no newline at the end
    ],
)
def test_conll_without_names(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    rows = read_labelled(tmp_path / name)
    assert rows["tokens"][:] == [["EU", "rejects"], ["Peter"]]
    assert rows["tags"][:] == [["B-ORG", "O"], ["B-PER"]]


def test_a_sentence_that_begins_with_a_number_keeps_its_words(tmp_path):
    path = tmp_path / "train.conll"  # CoNLL-2003 has hundreds
    path.write_text("1996 CD I-NP O\nWorld NNP I-NP B-MISC\n\nAnna NNP B-NP B-PER\n", encoding="utf-8")
    rows = read_labelled(path)
    assert rows["tokens"][:] == [["1996", "World"], ["Anna"]] and rows["tags"][:] == [["O", "B-MISC"], ["B-PER"]]
    path.write_text("1996 CD I-NP O\nWorld NNP I-NP B-MISC\n", encoding="utf-8")  # alone too
    assert read_labelled(path)["tags"][:] == [["O", "B-MISC"]]


def test_a_word_that_begins_with_a_hash_is_no_comment(tmp_path):
    path = tmp_path / "tweets.conll"
    path.write_text("# text = # Oslo O\n#Oslo NN B-LOC\nrocks VBZ O\n\n# NN O\n1 CD O\n", encoding="utf-8")
    rows = read_labelled(path)
    assert rows["tokens"][:] == [["#Oslo", "rocks"], ["#", "1"]] and rows["tags"][:] == [["B-LOC", "O"], ["O", "O"]]


def test_a_short_conll_line_is_named(tmp_path):
    (tmp_path / "a.conll").write_text("EU NNP B-ORG\nrejects\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"row 1: too few columns \(a word has 1 columns"):
        read_labelled(tmp_path / "a.conll", columns={"tags": 2})


SQUAD = {"data": [{"title": "t", "paragraphs": [{"context": "Oslo lies in Norway.", "qas": [
    {"id": "1", "question": "Where?", "answers": [{"text": "Norway", "answer_start": 13}]},
    {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
]}]}]}  # fmt: skip


def test_answers_have_one_shape(tmp_path):
    (tmp_path / "squad.json").write_text(json.dumps(SQUAD), encoding="utf-8")
    text = "Oslo lies in Norway."
    flat = [
        {"id": "1", "context": text, "question": "Where?", "answers": ["Norway"], "answer_start": [13]},
        {"id": "2", "context": text, "question": "Why?", "answers": [], "answer_start": []},
    ]
    hub = [{**row, "answers": {"text": row["answers"], "answer_start": row["answer_start"]}} for row in flat]
    for row in hub:
        del row["answer_start"]
    for path in (tmp_path / "squad.json", write(tmp_path / "f.parquet", flat), write(tmp_path / "h.jsonl", hub)):
        rows = read_labelled(path, require=("context", "question", "answers"))
        assert rows["answers"][:] == [
            {"text": ["Norway"], "answer_start": [13]},
            {"text": [], "answer_start": []},
        ]


@pytest.mark.parametrize("odd", [["a", []], ["a", {"b": 1}]])
def test_choices_that_are_no_texts_are_named_or_counted(tmp_path, odd, caplog):
    rows = [{"question": "what?", "choices": choices, "label": 0} for choices in (["a", "b"], odd)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"rows\.jsonl.*: no choices \(\['a', "):
        read_labelled(path)
    assert read_labelled(path, on_bad_row="skip")["choices"][:] == [["a", "b"]]
    assert "1 rows without choices" in caplog.text


def test_choices_that_are_numbers_are_texts(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"question": "how many?", "choices": [3, "four", true], "label": 1}\n')
    assert read_labelled(tmp_path / "rows.jsonl")["choices"][:] == [["3", "four", "True"]]


def test_names_of_columns_stay_in_one_line(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"first\\nsecond": "good", "label": "a"}\n')
    with pytest.raises(ValueError, match=r"no text: its columns are 'first.nsecond', label") as refusal:
        read_labelled(tmp_path / "rows.jsonl", require=["text", "label"])
    assert "\n" not in str(refusal.value)


def test_choices_and_several_labels(tmp_path):
    copa = write(
        tmp_path / "copa.jsonl", [{"premise": "p", "question": "cause", "choice1": "a", "choice2": "b", "label": 1}]
    )
    assert read_labelled(copa)["choices"][:] == [["a", "b"]]
    named = write(tmp_path / "x.jsonl", [{"q": "?", "right": "r", "wrong": "w"}])
    rows = read_labelled(named, columns={"question": "q", "choices": ["right", "wrong"]})
    assert rows["choices"][:] == [["r", "w"]]
    several = write(tmp_path / "m.csv", [{"text": "x", "labels": "joy|love"}, {"text": "y", "labels": ""}])
    assert read_labelled(several, require=("labels",))["labels"][:] == [["joy", "love"], []]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ["deu_Latn"]}, "no row in deu_Latn; there are eng_Latn, swh_Latn"),
        ({"split": "test"}, "no split 'test'; there are train, validation"),
        ({"columns": {"label": "stars"}}, "no column 'stars' for label; there are lang, split, premise"),
        ({"columns": {"lable": "x"}}, "there is no name 'lable'; did you mean label"),
        ({"require": ("score",)}, "no score: its columns are lang"),
        ({"require": (("labels", "score"),)}, "no labels or score"),
    ],
)
def test_what_is_not_there_is_told_with_what_there_is(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        read_labelled(write(tmp_path / "d.jsonl", ROWS), **options)


def test_rows_without_labels_and_empty_texts(tmp_path, caplog):
    rows = [{"text": "a", "label": "x"}, {"text": "  ", "label": "x"}, {"text": "b", "label": None}]
    path = write(tmp_path / "d.parquet", rows)
    with pytest.raises(ValueError, match=r"d.parquet, row 2: no text \('  '\); repair it, or"):
        read_labelled(path, require=("text", "label"))
    with caplog.at_level(logging.WARNING, logger="mmbert"):
        kept = read_labelled(path, require=("text", "label"), on_bad_row="skip")
    assert kept["text"][:] == ["a"]
    assert "left out 1 rows without text, 1 rows without label" in caplog.text
    with pytest.raises(ValueError, match="no usable row"):
        read_labelled(write(tmp_path / "e.parquet", rows[1:]), require=("text", "label"), on_bad_row="skip")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "text,label\nx,y\nx,y,z\n",
            r"a.csv, row 2: wrong number of fields \(3 fields, but the first line names 2 columns \(text, label\)",
        ),
        ("a.csv", "text,label,text\nx,y,z\n", r"a.csv: it names the column 'text' twice in its first line"),
        ("a.jsonl", '{"text": "x"}\n{"text"\n', "a.jsonl, row 2: invalid JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl, row 1: invalid JSON .a list, not an object"),
        ("a.csv", "text,score\nx,good\n", "row 1: score is 'good', but must be a number"),
        ("a.txt", "x", "a.txt is no .parquet, .jsonl"),
    ],
)
def test_broken_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_labelled(tmp_path / name)


def test_languages_of_names_are_told(tmp_path, caplog):
    for name in ("sw/train.csv", "no/train.csv", "zh-TW/train.csv", "mine/reviews.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("text,label\na,x\n")
    assert read_labelled(tmp_path)["language"][:] == ["und", "nob_Latn", "swh_Latn", "cmn_Hant"]
    assert "languages are those that names of files and folders say: nob_Latn (train.csv), swh_Latn" in caplog.text
    assert read_labelled(tmp_path / "sw")["language"][:] == read_labelled(tmp_path / "sw/train.csv")["language"][:]
    assert read_labelled(tmp_path / "sw")["language"][:] == ["swh_Latn"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_labelled(tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError, match=r"holds no \.parquet"):
        read_labelled(tmp_path)


def test_a_file_without_splits_is_not_evaluated_on_what_it_trained(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("lang,text,label\neng_Latn,a b,x\ndeu_Latn,c d,y\n", encoding="utf-8")
    told = (
        r"all\.csv does not tell train from test: .* add a column split, give --train and --test, or --test_split none"
    )
    sources = LabelledSources(model="m", data=str(path), train_languages=["eng_Latn"], dev_split="none")
    with pytest.raises(ValueError, match=told):
        sources.read(("text", "label"))
    both = LabelledSources(model="m", data=str(path))
    with pytest.raises(ValueError, match=r"train from dev and test: .* or --dev_split none --test_split none\.$"):
        both.read(("text", "label"))
    sources.test_split = "none"
    assert set(sources.read(("text", "label"))) == {"train"}
    sources = LabelledSources(model="m", train=str(path), test=str(path), dev_split="none")
    assert set(sources.read(("text", "label"))) == {"train", "test"}  # on purpose


def test_the_record_of_a_pre_training_is_read_before_anything_is_trained(tmp_path):
    path = tmp_path / "run_record.json"
    path.write_text('{"data": {"languages": {"fao_Latn": 3}}}', encoding="utf-8")
    assert LabelledSources(model="m").pretrained_on() is None
    assert LabelledSources(model="m", pretraining_record=str(path)).pretrained_on() == ["fao_Latn"]
    path.write_text('{"data": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"run_record\.json names no languages; give the"):
        LabelledSources(model="m", pretraining_record=str(path)).pretrained_on()


def test_sampled_rows_of_parallel_data_are_other_texts_in_every_language(tmp_path):
    rows = [{"lang": tag, "text": f"{tag} {n}", "label": "x"} for tag in ("eng_Latn", "swh_Latn") for n in range(50)]
    some = sample_rows(read_labelled(write(tmp_path / "d.jsonl", rows)), 5)
    numbers = [[int(t.split()[1]) for t in some["text"][:] if t.startswith(tag)] for tag in ("eng_Latn", "swh_Latn")]
    assert [len(set(own)) for own in numbers] == [5, 5] and numbers[0] != numbers[1]
    again = sample_rows(read_labelled(tmp_path / "d.jsonl"), 5)
    assert again["text"][:] == some["text"][:]


def test_roles_of_a_script(tmp_path):
    path = write(tmp_path / "d.jsonl", ROWS)
    languages = {"train_languages": ["eng_Latn,swh_Latn"], "dev_languages": ["eng_Latn"]}
    sources = LabelledSources(model="m", data=str(path), **languages, test_split="none", columns=["text=hypothesis"])
    found = sources.read(("text", "label"))
    assert {name: len(rows) for name, rows in found.items()} == {"train": 2, "dev": 1}
    assert found["dev"]["text"][:] == ["It is hot."]
    with pytest.raises(ValueError, match="nothing to train on"):
        LabelledSources(model="m").read(("text",))
    with pytest.raises(ValueError, match="--columns text: write name=column"):
        LabelledSources(model="m", data=str(path), columns=["text"]).read(("text",))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "require", "rows"),
    [
        ("sib200", ("text", "label"), 57_308),
        ("stsb_multi_mt", ("text", "text_pair", "score"), 48_892),
        ("americasnli", ("text", "text_pair", "label"), 14_149),
        ("iapp_thai_qa", ("question", "context", "answers"), 1_400),
        ("ud_pos", ("tokens", "tags"), 30_645),
    ],
)
def test_published_data_sets_need_no_mapping(name, require, rows):
    path = SHARED / name / "data.parquet"
    if not path.is_file():
        pytest.skip("the developers' data folder is not beside the checkout")
    found = read_labelled(path, require=require, on_bad_row="skip")  # AmericasNLI has 3 rows without a text
    assert len(found) == rows and set(require) <= set(found.column_names)


def test_quotes_that_never_close_do_not_make_a_reader_read_on_for_ever(tmp_path):
    """Each of these rows opens a quote that lasts to the end of the file."""
    good = "".join(f"good {number},yes\n" for number in range(20_000))
    (tmp_path / "odd.csv").write_text("text,label\n" + good + ('"",\\"," \n""""""a\n' * 50))
    left = read_labelled(tmp_path / "odd.csv", on_bad_row="skip")
    assert len(left) == 20_000
    (tmp_path / "rows.csv").write_text("text,label\n" + good + ('"",\\"," \n""""""a\n' * 20_000))
    with pytest.raises(ValueError, match=r"rows\.csv: .* lines were read \d+ times each, because quotes in many rows"):
        read_labelled(tmp_path / "rows.csv", on_bad_row="skip")
