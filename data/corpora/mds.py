"""A reader of MDS folders, the format of mosaicml-streaming, in which mmBERT's own data is published.

    FOLDER/index.json                  version 2: for each shard its columns, encodings, files, sizes and hashes
    FOLDER/shard.00000.mds(.zstd)      uint32 n, uint32 offsets[n + 1], the columns as JSON, n samples
    a sample                           uint32 size of every column without a fixed one, then the columns' bytes

mosaicml-streaming itself wants torch, transformers 4 and the SDKs of five clouds; reading its files takes a page. What
is here: columns of strings, JSON, numbers, bytes and arrays; files as they are or compressed by gz, bz2, br, snappy or
zstd. What is not: `pkl` (a pickle runs code) and pictures. A shard is in memory as a whole, 64 MB as usually written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...common.files import inside

INDEX = "index.json"
_VERSION = 2
_LARGEST = 2**32  # offsets are uint32; no more is ever decompressed of a shard
_SCALARS = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
}
_ARRAY_TYPES = {
    8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 18: "float16", 32: "uint32", 33: "int32", 34: "float32",
    64: "uint64", 65: "int64", 66: "float64",
}  # fmt: skip  # the byte before an array of a type that the column does not fix
_CODECS = {"zstd": "zstd", "gz": "gzip", "bz2": "bz2", "br": "brotli", "snappy": "snappy"}  # theirs to Arrow's
_SHAPE_TYPES = ("<u1", "<u2", "<u4", "<u8")


@dataclass(frozen=True)
class MdsShard:
    """One shard as its index describes it."""

    name: str  # file without compression, such as "shard.00000.mds"
    stored: str  # file with it; the same as `name` if there is none
    samples: int  # how many samples
    raw_bytes: int  # size without compression
    stored_bytes: int  # size of `stored`
    columns: Mapping[str, tuple[str, int | None]]  # column to (encoding, fixed size or None), in the order of the file
    hashes: Mapping[str, str]  # algorithm to hexadecimal hash of the stored file
    codec: str = "zstd"  # arrow's name of its compression


def parse_index(text: str | bytes, path: str) -> list[MdsShard]:
    """Read the shards of an index.json in their order."""
    try:
        document = json.loads(text)
        version, entries = document["version"], document["shards"]
        if version != _VERSION:
            raise ValueError(f"{path} has MDS version {version!r}; version {_VERSION} is read.")
        return [_shard(entry, path) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        if str(error).startswith(path):
            raise
        raise ValueError(f"{path} is no MDS index ({type(error).__name__}: {error}).") from None


def _shard(entry: Mapping[str, Any], path: str) -> MdsShard:
    if entry["format"] != "mds":
        raise ValueError(f"{path} has shards of format {entry['format']!r}; 'mds' is read.")
    columns = {
        name: (encoding, size)
        for name, encoding, size in zip(
            entry["column_names"], entry["column_encodings"], entry["column_sizes"], strict=True
        )
    }
    for name, (encoding, size) in columns.items():
        if not isinstance(name, str) or not isinstance(encoding, str) or not isinstance(size, int | None):
            raise ValueError(f"{path}: column {name!r} has encoding {encoding!r} and size {size!r}; fetch it again.")
        if encoding == "pkl":
            raise ValueError(f"{path}: column {name!r} is pickled, and no pickle is loaded; write it again without.")
    compression, packed, raw = entry.get("compression"), entry.get("zip_data"), entry["raw_data"]
    codec = _CODECS.get(str(compression).split(":")[0])
    if packed and (codec is None or not pa.Codec.is_available(codec)):
        raise ValueError(f"{path}: shards are compressed by {compression!r}; none, {', '.join(_CODECS)} are read.")
    stored = packed or raw
    for part in (raw, stored):  # names may lie in folders below, as merged indexes have them
        inside(Path(path).parent, part["basename"], Path(path))
    if not 0 <= int(raw["bytes"]) < _LARGEST:
        raise ValueError(f"{path}: a shard of {raw['bytes']:,} bytes; MDS shards are shorter than {_LARGEST:,}.")
    return MdsShard(
        name=raw["basename"],
        stored=stored["basename"],
        samples=int(entry["samples"]),
        raw_bytes=int(raw["bytes"]),
        stored_bytes=int(stored["bytes"]),
        columns=columns,
        hashes={str(kind): str(found) for kind, found in dict(stored.get("hashes") or {}).items()},
        codec=codec or "zstd",
    )


def unpack_shard(stored: bytes, shard: MdsShard, path: str) -> bytes:
    """Check the bytes of a stored shard against its index, and decompress them."""
    if len(stored) != shard.stored_bytes:
        raise ValueError(f"{path} has {len(stored):,} bytes, its index says {shard.stored_bytes:,}; fetch it again.")
    for algorithm, wanted in shard.hashes.items():
        if algorithm in hashlib.algorithms_available and hashlib.new(algorithm, stored).hexdigest() != wanted:
            raise ValueError(f"{path} is not what its index says ({algorithm} differs); fetch it again.")
    if shard.stored == shard.name:
        return stored
    try:
        if shard.codec == "snappy":  # not in frames
            raw = pa.Codec("snappy").decompress(stored, shard.raw_bytes, asbytes=True)
        else:
            with pa.CompressedInputStream(pa.BufferReader(stored), shard.codec) as stream:
                raw = stream.read(shard.raw_bytes + 1)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be decompressed ({error}); fetch it again.") from None
    if len(raw) != shard.raw_bytes:
        raise ValueError(f"{path} does not unpack to the {shard.raw_bytes:,} bytes of its index; fetch it again.")
    return bytes(raw)


def read_samples(raw: bytes, shard: MdsShard, wanted: list[str], path: str) -> Iterator[dict[str, Any]]:
    """Yield the wanted columns of a shard's samples; strings that are no UTF-8 come as bytes."""
    decoders = {name: _decoder(shard.columns[name][0], name, path) for name in wanted}
    sizes = [size for _, size in shard.columns.values()]
    free = sum(size is None for size in sizes)
    offsets = np.frombuffer(raw, "<u4", count=min(shard.samples + 2, len(raw) // 4))
    if len(offsets) < shard.samples + 2 or offsets[0] != shard.samples:
        raise ValueError(f"{path} does not hold the {shard.samples:,} samples of its index; fetch it again.")
    for number in range(shard.samples):
        begin, end = int(offsets[number + 1]), int(offsets[number + 2])
        place = begin + 4 * free
        if not 0 < begin <= place <= end <= len(raw):
            raise ValueError(f"{path}, sample {number + 1}: its offsets point outside the file; fetch it again.")
        free_sizes = iter(np.frombuffer(raw, "<u4", count=free, offset=begin).tolist())
        sample = {}
        for name, size in zip(shard.columns, sizes, strict=True):
            length = next(free_sizes) if size is None else size
            if name in decoders:
                try:
                    sample[name] = decoders[name](raw[place : place + length])
                except (ValueError, IndexError, KeyError, TypeError) as error:
                    told = f"{type(error).__name__}: {error}"
                    raise ValueError(f"{path}, sample {number + 1}: column {name!r} is broken ({told})") from None
            place += length
        if place != end:
            raise ValueError(f"{path}, sample {number + 1}: its columns do not fill its {end - begin:,} bytes.")
        yield sample


def _decoder(encoding: str, column: str, path: str) -> Callable[[bytes], Any]:
    kind, _, options = encoding.partition(":")
    if kind == "str":
        return _decode_text
    if kind == "bytes":
        return bytes
    if kind == "json":
        return json.loads
    if kind == "int":
        return lambda data: int(np.frombuffer(data, "<i8")[0])
    if kind in _SCALARS:
        return lambda data: np.frombuffer(data, _SCALARS[kind])[0].item()
    if kind == "ndarray":
        dtype, _, shape = options.partition(":")
        return lambda data: _decode_array(data, dtype, bool(shape))
    raise ValueError(
        f"{path}: column {column!r} has encoding {encoding!r}; str, json, bytes, int, numbers and ndarray are read."
    )


def _decode_text(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _decode_array(data: bytes, dtype: str, fixed_shape: bool) -> NDArray[Any]:
    """Decode an array and flatten it: type, shape and values, of which the column may fix the first two."""
    place = 0
    if not dtype:
        dtype = _ARRAY_TYPES[data[0]]
        place = 1
    if not fixed_shape:
        dimensions, shape_type = data[place] >> 2, np.dtype(_SHAPE_TYPES[data[place] & 3])
        place += 1 + dimensions * shape_type.itemsize
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), offset=place)
