"""An OpenAI-compatible endpoint as a teacher: `POST .../v1/embeddings` with a list of texts.

    http://localhost:8000                                 the path /v1/embeddings is put behind it
    https://host/v1/embeddings?model=name&batch=64        the model that is asked for; texts of a request

Who needs a key sets OPENAI_API_KEY; it goes to that endpoint only and is neither shown nor stored.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

_BATCH = 64  # texts of a request; servers take some hundred at most
_TRIES, _WAIT = 5, 1.0  # a busy server is asked again after 1, 2, 4, 8 seconds
_BUSY = (408, 429, 500, 502, 503, 504)
_TIMEOUT = 300.0  # seconds; a model may have to load


class HttpTeacher:
    """An endpoint that gives embeddings.

    Args:
        url: Its address, see above.
        prompt: Put before every text.
        wait: Seconds before the first of the next tries.

    Raises:
        ValueError: If the address cannot be read.
    """

    def __init__(self, url: str, *, prompt: str = "", wait: float = _WAIT) -> None:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if not parts.hostname or (unknown := sorted(set(options) - {"model", "batch"})):
            raise ValueError(
                f"{url}: give http://HOST:PORT/v1/embeddings?model=NAME&batch=64"
                + (f"; {unknown[0]!r} is unknown" if parts.hostname else "")
            )
        if "@" in parts.netloc:
            raise ValueError("the teacher's address holds a name or password; leave it out and set OPENAI_API_KEY")
        if not options.get("batch", "1").isdigit() or int(options.get("batch", "1")) < 1:
            raise ValueError(f"{url}: batch must be a number of texts, at least 1, got {options['batch']!r}")
        path = parts.path.rstrip("/")
        if not path.endswith("/embeddings"):
            path += "/embeddings" if path.endswith("/v1") else "/v1/embeddings"
        self.url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        self._model, self._batch = options.get("model"), int(options.get("batch", _BATCH))
        self._prompt, self._wait = prompt, wait
        self.identity: dict[str, Any] = {"url": self.url, "model": self._model, "prompt": prompt}

    def stream(self, texts: Sequence[str], window: int) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """Yield the vectors of a request at a time."""
        size = min(window, self._batch)
        for first in range(0, len(texts), size):
            yield self._ask(texts[first : first + size])

    def _ask(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        named = {"model": self._model} if self._model else {}
        body = {"input": [f"{self._prompt}{text}" for text in texts], "encoding_format": "float", **named}
        answer = self._post(json.dumps(body).encode())
        try:
            rows = sorted(json.loads(answer)["data"], key=lambda row: row["index"])
            vectors = np.asarray([row["embedding"] for row in rows], dtype=np.float32)
            numbers = [row["index"] for row in rows]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            shown = answer[:60].decode("utf-8", "replace")
            raise ValueError(f"{self.url} gave no list of embeddings but {shown!r}") from error
        if numbers != list(range(len(texts))) or vectors.ndim != 2:
            raise ValueError(f"{self.url} gave {len(numbers)} embeddings for {len(texts)} texts")
        return vectors

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, body, headers)
        for tried in range(_TRIES):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                    content: bytes = answer.read()
                    return content
            except urllib.error.HTTPError as error:
                reason, again = f"answered {error.code} {error.reason}", error.code in _BUSY
                said = " ".join(error.read(200).decode("utf-8", "replace").split())
                reason += f": {said}" if said else ""
            except (OSError, ValueError) as error:  # refused, timed out, cut off; or no such scheme
                reason, again = f"cannot be reached: {getattr(error, 'reason', None) or error}", True
            if not again or tried + 1 == _TRIES:
                break
            time.sleep(self._wait * 2**tried)
        raise ValueError(f"{self.url} {reason}")
