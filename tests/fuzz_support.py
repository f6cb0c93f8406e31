"""What the fuzzers share: valid trees and bytes with something odd in one to three places, and what a refusal must be.

A few dozen cases per reader in the default suite; MMBERT_FUZZ says another number, MMBERT_FUZZ_SEED another draw.
MMBERT_FUZZ_COUNTS names a file to which `fuzz` adds a line for each reader: cases, seconds of a processor, the longest.
"""

import atexit
import copy
import functools
import json
import os
import time
from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("MMBERT_FUZZ", "60"))


LONGEST = 10  # seconds of a processor that one case may take; a busy machine does not count


def fuzz(share=1.0):
    """As many cases as were asked for, or a share of them for a reader that takes long."""
    chosen = os.environ.get("MMBERT_FUZZ_SEED")
    limits = settings(
        max_examples=max(1, int(CASES * share)),
        deadline=None,
        derandomize=chosen is None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )

    def prepare(test):
        inner = test.hypothesis.inner_test
        spent = []

        @functools.wraps(inner)
        def timed(*args, **options):
            began = time.process_time()
            try:
                return inner(*args, **options)
            finally:
                spent.append(time.process_time() - began)
                assert spent[-1] < LONGEST, f"{spent[-1]:.1f} s of a processor"

        test.hypothesis.inner_test = timed
        if path := os.environ.get("MMBERT_FUZZ_COUNTS"):
            atexit.register(_count, Path(path), inner, spent)
        return limits(test if chosen is None else seed(int(chosen))(test))

    return prepare


def _count(path, inner, spent):
    """One line for all calls of a test, or for each value of its parameter, in a file that many processes may write."""
    with path.open("a", encoding="utf-8") as file:
        if spent:
            name = f"{inner.__module__}::{inner.__qualname__}"
            file.write(json.dumps([name, len(spent), round(sum(spent), 1), round(max(spent), 2)]) + "\n")


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(allow_nan=False), st.text(max_size=5),
    st.sampled_from(["../x", "/etc/hostname", "", "no", "1e5", "a" * 300]), st.just([]), st.just({}),
    st.just([[1], {}]),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


_MARKS = (b"\t", b"\n", b"\r", b'"', b",", b"-DOCSTART-", b"\xef\xbb\xbf", b"\0", b"\xff" * 8)


def places(tree, at=()):
    yield at
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield from places(value, (*at, key))


@st.composite
def mutated(draw, tree):
    """The tree with one to three entries removed, renamed or replaced by something odd."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        found = [place for place in places(tree) if place]
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        inside = tree
        for key in way:
            inside = inside[key]
        what = draw(st.sampled_from(["replace", "remove", "rename"]))
        if what == "replace":
            inside[last] = copy.deepcopy(draw(ODD))
        elif what == "remove" or not isinstance(inside, dict):
            del inside[last]
        else:
            inside[draw(st.text(max_size=6))] = inside.pop(last)
    return tree


@st.composite
def spoilt(draw, raw):
    """The bytes with one to three places flipped, cut out, doubled, or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        end = min(len(raw), at + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["cut", "double", "bytes", "bit", *_MARKS]))
        new = {"cut": b"", "double": raw[at:end] * 2}.get(kind, kind)
        if kind == "bytes":
            new = draw(st.binary(max_size=4))
        elif kind == "bit":
            new = bytes([raw[at] ^ (1 << draw(st.integers(0, 7)))]) + raw[at + 1 : end] if at < end else b""
        raw = raw[:at] + new + raw[end:]
    return raw


def read(call, name):
    """Read; a refusal is one line that names the file."""
    try:
        return call()
    except (ValueError, OSError) as error:
        assert name in str(error) or isinstance(error, FileNotFoundError), str(error)
        assert "\n" not in str(error), str(error)
        return None
