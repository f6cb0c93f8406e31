"""What the fuzzers share: valid trees and bytes with something odd in one to three places, and what a refusal must be.

A few dozen cases per reader in the default suite, 2,000 with the slow tests; MMBERT_FUZZ says another number.
"""

import copy
import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("MMBERT_FUZZ", "60"))


def fuzz(share=1.0):
    """As many cases as were asked for, or a share of them for a reader that takes long; 10 s a case at most."""
    return settings(
        max_examples=max(1, int(CASES * share)),
        deadline=10_000,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


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
