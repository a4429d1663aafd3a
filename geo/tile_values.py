"""Values for tiles: all that a map colours a collection by, one compact array a column, indexed by the number of the feature.

    4 bytes   length of the header, little-endian
    header    JSON in UTF-8, padded with spaces to a multiple of four bytes
    columns   one after the other, little-endian, each beginning at a multiple of four bytes after the header

The value of feature n stands at place n − 1. Numbers are 32-bit floats (NaN is unknown), ranks and other whole numbers that can be
unknown 16-bit ones (0 is unknown), words the place of the word in the list of the header, from 1 (0 is unknown).
Known bias: a 32-bit float holds seven digits; official ranks come as their own column and from the list, never from these scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from geo import registers, tiles
from geo.export import heading
from geo.messages import LANGS, message

if TYPE_CHECKING:
    from geo.run import Run
    from geo.windows import Collection

ZONE = "zone"  # the code of the neighbourhood that a feature lies in
WORDS = 255  # more different words are no legend
NOT_SHOWN = ("id", "row")
TEXTS = ("name_", "why_", "would_be_", "reason_", "decided_by", "decided_why")  # to be read, not to be coloured by
TYPES = {"<f4": "float32", "<u2": "uint16", "|u1": "uint8"}


def coded(column: pd.Series[Any]) -> tuple[npt.NDArray[Any], list[str] | None] | None:
    """A column as an array, with its words where it has some; None where a map can't be coloured by it.

    >>> coded(pd.Series([2, None, 1], dtype="Int64"))
    (array([2, 0, 1], dtype=uint16), None)
    >>> coded(pd.Series(["none", None, "severe", "none"], dtype="string"))
    (array([1, 0, 2, 1], dtype=uint8), ['none', 'severe'])
    """
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind):
        column = column.astype("boolean").map({True: "yes", False: "no"}).astype("string")
    elif pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_integer_dtype(kind):
        known = column.dropna()
        if known.between(1, 65_535).all():
            return column.fillna(0).to_numpy(dtype="<u2"), None
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype="<f4", na_value=np.nan), None
    if not pd.api.types.is_string_dtype(column.dtype):
        return None
    words = sorted(column.dropna().unique().tolist())
    if not words or len(words) > WORDS or (len(words) > 16 and len(words) * 2 > len(column)):
        return None
    codes = pd.Categorical(column, categories=words).codes.astype(np.int64) + 1
    return codes.astype("|u1"), words


def pack(of: Collection, run: Run, columns: Sequence[str] | None = None) -> bytes:
    """The values of a collection in a run.

    Parameters
    ----------
    columns
        Only these; without it all that a map can be coloured by.
    """
    chosen = (
        [name for name in of.properties if name not in NOT_SHOWN and not name.startswith(TEXTS)]
        if columns is None
        else list(columns)
    )
    parts: list[bytes] = []
    described: list[dict[str, Any]] = []
    position = 0
    for name in chosen:
        made = coded(of.table[name])
        if made is None:
            continue
        values, words = made
        raw = values.tobytes()
        raw += b"\0" * (-len(raw) % 4)
        described.append(_described(name, values, words, position, of, run))
        parts.append(raw)
        position += len(raw)
    header = orjson.dumps(
        {
            "version": 1,
            "run": run.id,
            "collection": of.name,
            "tiles": tiles.key(of),
            "count": len(of.table),
            "columns": described,
        }
    )
    header += b" " * (-len(header) % 4)
    return len(header).to_bytes(4, "little") + header + b"".join(parts)


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Header and arrays back, by column: what a client does."""
    length = int.from_bytes(content[:4], "little")
    header = orjson.loads(content[4 : 4 + length])
    kinds = {said: kind for kind, said in TYPES.items()}
    start = 4 + length
    return header, {
        one["name"]: np.frombuffer(content, kinds[one["type"]], header["count"], start + one["offset"]) for one in header["columns"]
    }


def label_of(name: str, of: Collection, run: Run) -> Mapping[str, str]:
    """The heading of a column of a collection in both languages; its own name where nothing else is known of it."""
    part, _, rest = name.partition("_")
    groups = {"axis": "axes", "sector": "sectors"}
    schema = registers.table("schema", of.name) if of.name in registers.names("schema") else ()
    meaning = next((registers.both(row, "meaning") for row in schema if row["column"] == name), None)
    if name == ZONE:
        return message("Neighbourhood").both()
    if (known := of.labels.get(name) or meaning) is not None:
        return known
    if part in groups and rest in run.info[groups[part]]:
        return dict(run.info[groups[part]][rest])
    try:
        return {lang: heading(name, lang) for lang in LANGS}
    except KeyError:
        return dict.fromkeys(LANGS, name)


def _described(
    name: str, values: npt.NDArray[Any], words: list[str] | None, position: int, of: Collection, run: Run
) -> dict[str, Any]:
    measures: Mapping[str, dict[str, Any]] = {one["id"]: one for one in run.info["measures"]}
    criteria: Mapping[str, dict[str, Any]] = {one["measure"]: one for one in run.info["scheme"]["criteria"]}
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values[values > 0]
    said: dict[str, Any] = {
        "name": name,
        "type": TYPES[values.dtype.str],
        "offset": position,
        "unknown": None if values.dtype.kind == "f" else 0,
        "label": label_of(name, of, run),
        "known": len(known),
        "range": None if words is not None or not len(known) else [float(known.min()), float(known.max())],
    }
    if words is not None:
        said["words"] = words
    if of.name == "priorities" and name in measures:
        said |= {part: measures[name][part] for part in ("unit", "decimals", "palette")}
    if of.name == "priorities" and name in criteria:
        said["criterion"] = {part: criteria[name][part] for part in ("weight", "goalposts", "direction")}
    return said
