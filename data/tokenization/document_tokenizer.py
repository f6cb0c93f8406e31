"""The one function from text to token ids: workers use it, and so do `datasets.map` and pipelines of others.

Ids come without <bos> and <eos>, which the stream sets. A `<mask>` or `<eos>` written out in a document is read letter
by letter: otherwise the web could put special tokens into the training data. Padding or truncation that somebody
switched on in the tokenizer does not count. The tokenizer is put back as it was after every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

TokenIds = NDArray[np.uint32]


class DocumentTokenizer:
    """Turns texts into token ids; picklable, and callable on a batch of `datasets.map`.

        dataset.map(DocumentTokenizer(tokenizer), batched=True, num_proc=8)

    Args:
        tokenizer: A fast tokenizer of transformers, or a folder with a tokenizer.json.
        text_column: Column that a call reads.
    """

    def __init__(self, tokenizer: Any, text_column: str = "text") -> None:
        self.text_column = text_column
        if isinstance(tokenizer, (str, Path)):
            path = Path(tokenizer) / "tokenizer.json"
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing; give a tokenizer, or a folder with a tokenizer.json.")
            self.backend = Tokenizer.from_file(str(path))
        else:
            self.backend = tokenizer.backend_tokenizer

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of each text, without specials, on all threads unless TOKENIZERS_PARALLELISM=false."""
        with _plain(self.backend):
            encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[TokenIds]]:
        """Tokenise a batch of a `datasets.Dataset` into the column `input_ids`."""
        if self.text_column not in batch:
            there = ", ".join(map(repr, batch))
            raise ValueError(f"the data has no column {self.text_column!r}; there are {there}. Name the right one.")
        return {"input_ids": self.encode(batch[self.text_column])}


@contextmanager
def _plain(backend: Tokenizer) -> Iterator[None]:
    """No padding, no truncation, special tokens in the text as text; all as before at the end."""
    padding, truncation, special = backend.padding, backend.truncation, backend.encode_special_tokens
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = True
    try:
        yield
    finally:
        backend.encode_special_tokens = special
        if padding is not None:
            backend.enable_padding(**padding)
        if truncation is not None:
            backend.enable_truncation(**truncation)
