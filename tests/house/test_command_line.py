"""The command line: it lists its verbs, and bad input gets one line and status 2, not a traceback."""

import signal
import subprocess
import sys

import mmbert as package
import mmbert.trainers
import pytest
import sentence_transformers  # noqa: F401  imported once for all forks, as the trainers are
from tests_support import run_forked

VERBS = [
    "pretrain", "continue", "finetune", "train", "demo", "doctor", "recipe", "tokenize", "merge", "export", "trim",
    "push", "embed", "search", "evaluate", "bench", "card",
]  # fmt: skip


def mmbert(*arguments, cwd="/"):
    return run_forked("mmbert", *arguments, cwd=cwd)


def test_help_lists_every_verb():
    done = mmbert("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("arguments", ["--help", "search query --help", "recipe mmbert-small"])
def test_a_reader_who_leaves_is_no_error(arguments):
    code = f"import sys; sys.argv = ['mmbert', *{arguments.split()!r}]; from mmbert.cli import main; main()"
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.close()
    assert (run.stderr.read(), run.wait()) == (b"", 0)


def test_doctor_says_what_runs_and_what_is_absent():
    done = mmbert("doctor")
    assert done.returncode == 0
    for word in ("mmbert", "torch", "attention: sdpa", "device:", "sentence-transformers"):
        assert word in done.stdout


def test_doctor_checks_a_checkpoint(tmp_path):
    config = package.MmBertConfig(
        hidden_size=16, num_attention_heads=2, num_hidden_layers=2, intermediate_size=16, vocab_size=50
    )
    package.MmBertForMaskedLM(config).save_pretrained(tmp_path / "good")
    good = mmbert("doctor", tmp_path / "good")
    assert good.returncode == 0, good.stderr
    assert "MmBertForMaskedLM" in good.stdout and "tensors fit" in good.stdout
    package.MmBertModel(config).save_pretrained(tmp_path / "bad")
    text = (tmp_path / "bad" / "config.json").read_text().replace("MmBertModel", "MmBertForMaskedLM")
    (tmp_path / "bad" / "config.json").write_text(text)
    bad = mmbert("doctor", tmp_path / "bad")
    assert bad.returncode == 2
    assert "missing" in bad.stderr and "Traceback" not in bad.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["doctor", "nowhere"], "nowhere does not exist"),
        (["export", "nowhere", "out"], "nowhere"),
        (["merge", "a", "b", "--output", "out"], "does not exist"),
        (["embed", "nowhere", "-", "x.npy"], "no text"),
        (["bench", "nowhere"], "nowhere"),
        (["evaluate", "nowhere", "--tasks", "sib200", "-o", "out"], "nowhere"),
        (["card", "nowhere"], "holds no run_record.json"),
        (["tokenize", "nowhere", "--output", "out"], "no recipe at nowhere; shipped recipes are"),
        (["recipe", "nowhere"], "no recipe at nowhere; shipped recipes are"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, arguments, message):
    done = mmbert(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_help_and_usage_errors_load_no_torch():
    code = (
        "import sys; sys.argv = ['mmbert', '--help']; import mmbert.cli\n"
        "try:\n    mmbert.cli.main()\nexcept SystemExit:\n    pass\n"
        "print('loaded:', sorted({'torch', 'transformers', 'scipy', 'numpy', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd="/")
    assert done.stdout.strip().endswith("loaded: []"), done.stdout + done.stderr


def test_the_version_is_shown():
    assert mmbert("-V").stdout == mmbert("--version").stdout
    assert mmbert("--version").stdout.strip() == f"mmbert {package.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "train"),
        (["train", "embeder"], "embedder"),
        (["tokenize", "x", "y", "--tokeniser", "z"], "did you mean --tokenizer?"),
        (["embed", "--bacht-size", "3"], "mmbert embed has no option --bacht-size"),
        (["pretrain", "--recipe", "demo", "--learning_rates", "1"], "did you mean --learning_rate?"),
        (["train", "reranker", "--modle", "x"], "did you mean --model?"),
        (["finetune", "taging"], "tagging"),
        (["finetune", "qa", "--output_dir", "x", "--modle", "y"], "did you mean --model"),
        (["continue", "--nwe", "x"], "mmbert continue has no option --nwe"),
        (["train", "embedder", "--out_dir", "x"], "mmbert train embedder needs --model"),
        (
            ["finetune", "qa", "--epochs", "many", "--model", "m", "--output", "x"],
            "many must be a number",
        ),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(arguments, message):
    done = mmbert(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_options_have_short_forms_and_a_file(tmp_path):
    from mmbert.common.options import with_known_names

    known = ["num_train_epochs", "per_device_train_batch_size", "learning_rate", "output_dir", "use_cpu"]
    (tmp_path / "run.yaml").write_text("epochs: 2\nlr: 1e-5\n", encoding="utf-8")
    line = ["--config", str(tmp_path / "run.yaml"), "--epochs", "3", "--batch-size=8", "--output", "run", "--use-cpu"]
    assert with_known_names(line, known, "mmbert x") == [
        "--num_train_epochs=2", "--learning_rate=1e-5", "--num_train_epochs", "3",
        "--per_device_train_batch_size=8", "--output_dir", "run", "--use_cpu",
    ]  # fmt: skip


def test_checksums_are_not_compared_where_they_are_not_wanted(tmp_path):
    (tmp_path / "SHA256SUMS").write_text(f"# 3 config.json\n{'0' * 64}  config.json\n")
    (tmp_path / "config.json").write_text("{}\n")
    code = (
        "import sys, pathlib; from mmbert.common.checkpoints import verify_checksums\n"
        "from mmbert.common.command import run_command\n"
        "run_command(lambda: print(verify_checksums(pathlib.Path(sys.argv[1])), sys.argv[2:]))"
    )
    for words, status, said in ([], 2, ""), (["--no-verify", "x"], 0, "False ['x']"), (["--", "--no-verify"], 2, ""):
        done = run_forked("-c", code, tmp_path, *words)
        assert (done.returncode, done.stdout.strip()) == (status, said)
    assert "its bytes are not those recorded in SHA256SUMS" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_told_to_stop_ends_with_one_line(number, status):
    code = (
        "import os, signal, time\n"
        "from mmbert.common.command import run_command\n"
        "def act():\n    print('started', flush=True)\n    time.sleep(60)\n"
        "run_command(act)"
    )
    command = [sys.executable, "-c", code]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )  # fmt: skip
    assert running.stdout.readline() == "started\n"
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == status
    assert said.startswith("mmbert: stopped") and said.count("\n") == 1


PASSED_ON = [
    *(f"train {kind}" for kind in ("embedder", "distilled", "reranker", "colbert", "splade")),
    *(f"finetune {task}" for task in ("classification", "tagging", "qa", "choice")),
    "pretrain",
    "continue",
]


def test_every_option_is_explained():
    from mmbert.cli import app
    from typer.main import get_command

    waiting, silent = [("mmbert", get_command(app))], []
    while waiting:
        name, command = waiting.pop()
        waiting += [(f"{name} {verb}", one) for verb, one in getattr(command, "commands", {}).items()]
        hidden = ("install_completion", "show_completion")
        silent += [f"{name} {one.name}" for one in command.params if not one.hidden and not one.help
                   and one.name not in hidden]  # fmt: skip
    assert silent == []


@pytest.mark.parametrize("verb", PASSED_ON)
def test_help_of_a_verb_explains_every_option_and_shows_defaults(verb):
    done = run_forked("mmbert", *verb.split(), "--help", COLUMNS="100")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and "\x1b" not in done.stdout and "==SUPPRESS==" not in done.stdout
    heads = [(line, after) for line, after in zip(lines, [*lines[1:], ""], strict=True) if line.startswith("  -")]
    own = [line for line, after in heads if "  " not in line.strip() and not after.startswith("      ")]
    ours = [line for line in own if not verb.startswith(("finetune", "pretrain", "continue"))]
    assert len(heads) > 10 and ours == [], own
    assert "default: " in done.stdout


def test_a_reader_whose_other_end_has_gone_prints_no_traceback(tmp_path):
    code = (
        "import multiprocessing, sys\n"
        "from mmbert.common.command import run_command\n"
        "def act():\n"
        "    for kind in (ConnectionResetError, KeyError):\n"
        "        tell = lambda: sys.excepthook(kind, kind('gone'), None)\n"
        "        reader = multiprocessing.get_context('fork').Process(target=tell)\n"
        "        reader.start(); reader.join()\n"
        "run_command(act)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert "KeyError" in done.stderr and "Connection" not in done.stderr
