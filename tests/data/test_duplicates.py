"""Exact copies: the set of seen hashes against Python's own, and spellings that Unicode calls the same."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data.hashing import text_hash
from mmbert.data.tokenization import SeenHashes


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=40), max_size=12))
def test_first_occurrences_are_those_of_a_set(batches):
    seen, known = SeenHashes(), set()
    for batch in batches:
        hashes = [(value * 0x9E3779B97F4A7C15) % 2**64 for value in batch]
        expected = []
        for value in hashes:
            expected.append(value not in known)
            known.add(value)
        assert seen.add(np.array(hashes, dtype=np.uint64)).tolist() == expected


def test_composed_and_decomposed_spellings_are_one_text():
    assert text_hash("Húsið") == text_hash("Hu\u0301sið") != text_hash("Husið")


def test_memory_is_eight_bytes_a_document():
    seen = SeenHashes()
    for start in range(0, 100_000, 1000):
        assert seen.add(np.arange(start, start + 1000, dtype=np.uint64)).all()
    assert sum(run.nbytes for run in seen._runs) == 8 * 100_000 and len(seen._runs) < 18
