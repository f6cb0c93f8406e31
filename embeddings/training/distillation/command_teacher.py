r"""A command as a teacher: texts go in, a line each, and vectors come out, a line each, in the same order.

    in    {"id": 0, "text": "The ferry leaves at eight."}         `command:`; a line break inside a text is \n
          The ferry leaves at eight.                              `lines:`; a line break inside a text becomes a blank
    out   [0.1, -0.2, ...]  or  {"embedding": [...], "id": 0}     or "vector" for "embedding"; an id must be the text's

The command is started once, by the shell's rules of words but without a shell. Its input is written by a thread and
then closed, so that commands which answer at once and those which read everything first both work. What it says on
standard error is shown if it fails.
"""

import json
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .label_store import PATIENCE

_SHOWN = 200  # characters of the command's own message


class CommandTeacher:
    """A command that reads texts and writes vectors.

    Args:
        command: Program and arguments.
        plain: Whether it reads plain lines instead of JSON.
        prompt: Put before every text.

    Raises:
        ValueError: If the command is empty or its quotes do not match.
    """

    def __init__(self, command: str, *, plain: bool = False, prompt: str = "") -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"teacher command {command!r}: {str(error).lower()}") from None
        if not self._words:
            raise ValueError("the teacher command is empty; write command:PROGRAM ARGUMENTS")
        self._plain, self._prompt = plain, prompt
        self.identity: dict[str, Any] = {"command": command, "input": "lines" if plain else "json", "prompt": prompt}

    def stream(self, texts: Sequence[str], window: int) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """Yield the vectors as the command writes them."""
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
            except OSError as error:
                raise ValueError(f"cannot start the teacher command {self._words[0]}: {error.strerror}") from None
            writer = threading.Thread(target=self._write, args=(process.stdin, texts), daemon=True)
            writer.start()
            try:
                yield from self._read(process, len(texts), window, errors)
            finally:
                process.kill()
                process.wait()
                writer.join()
                if process.stdout is not None:
                    process.stdout.close()

    def _write(self, into: Any, texts: Sequence[str]) -> None:
        with suppress(OSError):  # it ended early: the reader says so
            with into:
                for number, text in enumerate(texts):
                    whole = f"{self._prompt}{text}"
                    line = " ".join(whole.splitlines()) if self._plain else json.dumps({"id": number, "text": whole})
                    into.write(line.encode("utf-8") + b"\n")

    def _read(self, process: Any, count: int, window: int, errors: BinaryIO) -> Iterator[Any]:
        done, last = 0, time.monotonic()
        rows: list[npt.NDArray[np.float32]] = []
        failure: ValueError | None = None
        for line in process.stdout:
            if not line.strip():
                continue
            try:
                if done + len(rows) >= count:
                    raise ValueError(f"the teacher command wrote more lines than the {count:,} texts it was given")
                rows.append(_vector(line, done + len(rows), len(rows[0]) if rows else None))
            except ValueError as error:
                failure = error
                break
            if len(rows) == window or time.monotonic() - last > PATIENCE:
                yield np.stack(rows)
                done, last, rows = done + len(rows), time.monotonic(), []
        if rows:
            yield np.stack(rows)
            done += len(rows)
        if failure is not None:
            raise failure
        if (status := process.wait()) or done < count:
            ended = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
            raise ValueError(f"the teacher command {ended} after {done:,} of {count:,} texts{_said(errors)}")


def _vector(line: bytes, number: int, width: int | None) -> npt.NDArray[np.float32]:
    """Read the vector of a line; JSON's NaN and Infinity pass here and are refused with their text later."""
    try:
        value = json.loads(line)
        if isinstance(value, dict):
            if value.get("id", number) != number:
                raise ValueError(
                    f"the teacher command answered text {number} with the vector of id {value['id']!r}; it must keep "
                    "the order"
                )
            value = value.get("embedding", value.get("vector"))
        row = np.asarray(value, dtype=np.float32)
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError, RecursionError) as error:
        shown = line[:40].decode("utf-8", "replace").strip()
        raise ValueError(f"line {number + 1} of the teacher command is no JSON vector: {shown!r}") from error
    if row.ndim != 1 or not len(row) or value is None:
        raise ValueError(f"line {number + 1} of the teacher command is no list of numbers, got {value!s:.40}")
    if width is not None and len(row) != width:
        raise ValueError(f"line {number + 1} of the teacher command has {len(row)} numbers, the line before {width}")
    return row


def _said(errors: BinaryIO) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return f" ({lines[-1].strip()[:_SHOWN]})" if lines else ""
