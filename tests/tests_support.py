"""What tests share without a fixture: sentences in five languages and three scripts, and a recipe over them."""

import functools
import io
import json
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import mmbert
import torch
from mmbert.cli import app
from mmbert.data import Document
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from typer.testing import CliRunner

# Words of five languages; sentences are drawn from them, so that a language can be learned and told from another.
WORDS = {
    "eng_Latn": "the house stands near a river and every morning people cross the old bridge to work".split(),
    "deu_Latn": "das Haus steht nahe am Fluss und jeden Morgen gehen Leute über die alte Brücke zur Arbeit".split(),
    "rus_Cyrl": "дом стоит у реки и каждое утро люди идут через старый мост на работу в город".split(),
    "ell_Grek": "το σπίτι είναι κοντά στο ποτάμι και κάθε πρωί οι άνθρωποι περνούν την παλιά γέφυρα".split(),
    "fao_Latn": "húsið stendur við ána og hvønn morgun fara fólk um gomlu brúnna til arbeiðis í býnum".split(),
}
SIZES = {"eng_Latn": 400, "deu_Latn": 200, "rus_Cyrl": 200, "ell_Grek": 80, "fao_Latn": 20}


def sentences(language: str, count: int, seed: int = 0) -> list[str]:
    """Return sentences of 4 to 14 words."""
    draw = random.Random(f"{language}/{seed}")
    return [" ".join(draw.choices(WORDS[language], k=draw.randint(4, 14))) for _ in range(count)]


def documents(seed: int = 0, scale: float = 1.0) -> list[Document]:
    """Return documents of all languages, mixed."""
    found = [
        Document(language, text, "words")
        for language, count in SIZES.items()
        for text in sentences(language, max(2, int(count * scale)), seed)
    ]
    random.Random(seed).shuffle(found)
    return found


TINY_RECIPE = """
name: tiny
seed: 7
model: {size: small, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 2}
phases:
  - name: pretrain
    languages: [eng_Latn, deu_Latn]
    temperature: 0.7
    masking_ratio: 0.3
    context_length: 32
    rope_theta: 10000
    tokens: 4096
    batch_rows: 16
    learning_rate: 2e-3
    warmup_tokens: 1024
  - name: midtrain
    languages: {add: [rus_Cyrl]}
    temperature: 0.5
    masking_ratio: 0.15
    context_length: 64
    rope_theta: 160000
    tokens: 4096
    batch_rows: 8
  - name: decay
    languages: all
    temperature: 0.3
    masking_ratio: 0.05
    tokens: 4096
    decay: 1-sqrt
variants:
  decay-eng: {languages: {add: []}, shares: {eng_Latn: 0.5}}
  decay-all: {}
"""


def save_model(folder, tokenizer, head="MaskedLM", *, seed=0, **config):
    """Save a network of two layers with its tokenizer; returns the folder."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(seed)
    model = getattr(mmbert, f"MmBertFor{head}")(mmbert.MmBertConfig(vocab_size=len(tokenizer), **sizes | config))
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def write_rows(path, rows):
    """Write rows as JSON lines; returns the path."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def run_verb(*words):
    """Run `mmbert ...` in this process, whose errors are raised; returns typer's result."""
    done = CliRunner().invoke(app, [*map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def one_warning(call, errors=()):
    """Return what a call gives, or which of `errors` it ends with, and the text of its single FutureWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = call()
        except errors as error:
            value = error
    texts = [str(one.message) for one in caught if one.category is FutureWarning]
    assert len(texts) == 1, texts
    return value, texts[0]


def run_forked(*command, cwd="/", **variables):
    """Run `mmbert ...`, `-c CODE ...` or a script by its path, as a process that has its imports already.

    Starting Python and importing torch takes seconds of a processor, a fork none of them. What is forked is a process
    that imported and did nothing else: this one has threads of its own by now (tqdm, OpenMP, arrow), and whoever waits
    for one of those in a fork waits for ever.

    Returns:
        As `subprocess.run(capture_output=True, text=True)`.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        request = {"command": list(map(str, command)), "cwd": str(cwd), "out": str(out), "err": str(err)}
        server = _fork_server()
        try:
            server.stdin.write(json.dumps(request | {"variables": dict(os.environ) | variables}) + "\n")
            server.stdin.flush()
            status = int(server.stdout.readline())
        except BaseException:  # the test's time is over: the next one gets another server
            os.killpg(server.pid, signal.SIGKILL)
            server.communicate()
            _fork_server.cache_clear()
            raise
        said = [path.read_text("utf-8") for path in (out, err)]
    return subprocess.CompletedProcess(command, status, *said)


@functools.cache
def _fork_server():
    serve = "import tests_support; tests_support.serve_forks()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", serve], env=environment, start_new_session=True, **pipes)


def serve_forks():
    """Fork for every request on standard input, and answer with the status that the fork ended with."""
    import mmbert.cli
    import sentence_transformers
    import torch

    imported = mmbert.cli, sentence_transformers, torch
    assert all(imported)
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        if not (child := os.fork()):
            become(**request)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


@contextmanager
def files_no_larger_than(size):
    """Let a limit on files stand in for a full disk; Python's bytecode, which it would cut off too, is not written."""
    before, writes = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = writes


def become(command, cwd, variables, out, err):
    """Turn this process, a fork, into `mmbert ...` or a script by its path; it ends with that."""
    status = 1
    try:
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(n, "wb", closefd=False), "utf-8") for n in (1, 2))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False), "utf-8")
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv = command
        if command[0] == "mmbert":
            from mmbert.cli import main

            main()
        elif command[0] == "-c":
            sys.argv = ["-c", *command[2:]]
            exec(compile(command[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.path.insert(0, str(Path(command[0]).parent))
            runpy.run_path(command[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
