"""Files and folders on disk: whole or absent, and inside the folder that they belong to.

Everything small is written to a hidden file beside its target, synced and renamed, so a kill or a full disk leaves the
old content or the new one. Folders are `checkpoints.writer.atomic_directory`'s affair.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_digests: dict[tuple[str, int, int, int], str] = {}  # of files, by path and state
_BREAKS = ("Cc", "Zl", "Zp")  # control characters and ends of lines: no name has them, and a message is one line
_LONGEST = 255  # bytes of a file's name on every common file system
_FULL = (errno.ENOSPC, errno.EDQUOT)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object."""
    value: dict[str, Any] = _read(path, dict, "object")
    return value


def read_list(path: Path) -> list[Any]:
    """Read a JSON file that must hold a list."""
    value: list[Any] = _read(path, list, "list")
    return value


def _read(path: Path, kind: type, called: str) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {path.parent} is not complete")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path}: a JSON {called} is needed, got {type(value).__name__}")
    return value


@contextmanager
def record_of(path: Path) -> Iterator[None]:
    """Name the file where a record lacks what the block needs, or has it in another type."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"{path} is damaged or of another version ({told}); restore or remove it") from error


def write_json(
    path: Path, value: Mapping[str, Any] | Sequence[Any], *, indent: int | None = 2, default: Any = None
) -> None:
    """Write an object as JSON, whole or not at all; `indent` None is one line, `default` as for `json.dumps`."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, default=default) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: Path, *, needed: int | None = None) -> Iterator[Path]:
    """Yield a hidden file beside `path` that takes its name only when the block ends; `needed` bytes go into errors."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with writing(path, needed=needed):
            yield partial
            sync_to_disk(partial)
            partial.replace(path)
            sync_to_disk(path.absolute().parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Say in one line what could not be written in the block and why."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {write_error(path, error, needed)}; mend that and start the same command again"
        ) from None


def write_error(path: Path, error: OSError, needed: int | None = None) -> str:
    """Why a write failed, such as `No space left on device (needs 1.2 GB, 0.3 GB free)`."""
    reason = error.strerror or str(error)
    if error.errno not in _FULL:
        return reason
    free = free_space(path)
    wants = f"needs {file_size(needed)}, " if needed else ""
    return f"{reason} ({wants}{file_size(free)} free)" if free is not None else reason


def free_space(path: Path) -> int | None:
    """Bytes that a user may still write on the disk of a path; None where the system does not say."""
    for place in (path.absolute(), *path.absolute().parents):
        if place.exists():
            with suppress(OSError):
                return shutil.disk_usage(place).free
            return None
    return None


def sync_to_disk(path: Path) -> None:
    """Wait until the bytes of a writable file, or the names in a directory, have reached the disk."""
    if path.is_dir() and os.name != "posix":  # other systems cannot sync a directory
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems cannot sync a directory
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(handle)


def refuse_existing(output: str | os.PathLike[str]) -> None:
    """Refuse to overwrite a directory."""
    target = Path(output)
    if target.is_file():
        raise ValueError(f"{target} is a file, and a folder is to be made there; choose another name")
    if target.is_symlink() or (target.is_dir() and any(target.iterdir())):
        raise ValueError(f"{target} exists and is not empty; remove it or choose another output directory")


def copy_files(source: Path, target: Path, names: Collection[str]) -> list[str]:
    """Copy those of the named files that exist; return their names."""
    present = [name for name in names if (source / name).is_file()]
    for name in present:
        shutil.copyfile(source / name, target / name)
    return present


def sha256(path: Path) -> str:
    """Digest a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Digest a file once per process; another state of it (inode, size, time of change) is read anew."""
    found = path.stat()
    key = (str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns)
    if key not in _digests:
        _digests[key] = sha256(path)
    return _digests[key]


def inside(folder: Path, name: Any, named_by: Path) -> Path:
    """The path of a name that a file gives, which must stay in its folder; it need not exist."""
    if (
        not isinstance(name, str)
        or len(name) > _LONGEST
        or any(unicodedata.category(letter) in _BREAKS for letter in name)
        or "\\" in name
        or ":" in name
        or Path(name).is_absolute()
    ):
        raise ValueError(f"{named_by}: {name!r} is not the plain name of a file in {folder}")
    path = folder / name
    try:
        stays = ".." not in Path(name).parts and path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # a name too long, links in a circle
        raise ValueError(f"{named_by}: {name!r} cannot be a file in {folder} ({error})") from None
    if not stays:
        raise ValueError(f"{named_by}: {name!r} leads out of {folder}; files must lie in their own folder")
    return path


def file_size(nbytes: int | None) -> str:
    """Spell a number of bytes in the unit that a reader would choose."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes is not None and nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} bytes"
