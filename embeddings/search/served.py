"""How a query finds a running `mmbert search serve` of its index, and has its vector computed there.

The server leaves its address in the index, in a file that only its user can read. A file that a killed server left is
harmless: who answers at that address must send the number of the server that wrote it.
"""

import base64
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INSTANCE = "X-Mmbert-Instance"
_FILE = "server.json"
_CONNECT, _ANSWER = 1.0, 60.0  # seconds


@contextmanager
def announced(index: Path, host: str, port: int, token: str | None, instance: str) -> Iterator[None]:
    """Let queries of this machine and user find a server while the block runs, where the index can be written."""
    path = index / _FILE
    entry = {"machine": platform.node(), "host": host, "port": port, "token": token, "instance": instance}
    with suppress(OSError):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(entry, file)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            if json.loads(path.read_text(encoding="utf-8"))["instance"] == instance:
                path.unlink()


def find_server(index: Path) -> "ServedEncoder | None":
    """The encoder of a server of this index that runs on this machine; None if there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads((index / _FILE).read_text(encoding="utf-8"))
        if entry["machine"] == platform.node():
            served = ServedEncoder(entry)
            served.ask("GET", "/api/about", None, _CONNECT)
            return served
    return None


class ServedEncoder:
    """Computes vectors at a server.

    Args:
        entry: What `announced` wrote.
    """

    def __init__(self, entry: dict[str, Any]) -> None:
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        self._host, self._port = everywhere.get(entry["host"], str(entry["host"])), int(entry["port"])
        self._token, self._instance = entry["token"], entry["instance"]

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, **_: Any) -> npt.NDArray[np.float32]:
        """Return (texts, dimensions) vectors."""
        asked = {"input": [(prompt or "") + text for text in texts], "encoding_format": "base64"}
        rows = self.ask("POST", "/v1/embeddings", asked, _ANSWER)["data"]
        return np.stack([np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows])

    def ask(self, method: str, path: str, asked: Any, seconds: float) -> Any:
        """Send a request; an answer of anybody else but the server that was announced is an OSError."""
        from http.client import HTTPConnection, HTTPException

        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        connection = HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            connection.request(method, path, None if asked is None else json.dumps(asked), headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except HTTPException as error:
            raise OSError(f"the server at {self._host}:{self._port} does not answer ({error})") from None
        finally:
            connection.close()
        if answer.getheader(INSTANCE) != self._instance:
            raise OSError(f"another program answers at {self._host}:{self._port}")
        if answer.status != 200:
            raise OSError(f"the server at {self._host}:{self._port}: {content.get('error', {}).get('message')}")
        return content
