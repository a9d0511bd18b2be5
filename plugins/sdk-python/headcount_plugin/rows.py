"""Rows into columns, as the contract wants them, by the type that the table declares."""

import json
from itertools import accumulate
from typing import Any

TYPES = (
    "boolean", "int64", "uint64", "bignum", "double", "text", "bytes", "address", "hash", "timestamp",
    "json",
)
"""Types of columns, in the order of the contract."""


class Rows:
    """Collects the rows of one table."""

    def __init__(self, name: str, columns: dict[str, str]):
        self.name = name
        self.types = columns
        self._begin()

    def _begin(self) -> None:
        self.seqs: list[int] = []
        self.values: list[list[Any]] = [[] for _ in self.types]

    def add(self, seq: int, row: dict[str, Any]) -> None:
        """Adds a row that derives from the event `seq`."""
        for (name, type_), values in zip(self.types.items(), self.values):
            value = row.get(name)
            if value is None and not type_.endswith("?"):
                raise TypeError(f"column {name} of table {self.name} has no value")
            values.append(value)
        if len(row) > len(self.types):
            other = next(name for name in row if name not in self.types)
            raise TypeError(f"table {self.name} has no column {other}")
        self.seqs.append(seq)

    def take(self) -> tuple[list[int], list[tuple[str, str, Any, list[int]]]]:
        """Returns delivery numbers and columns (name, kind, data, NULLs), and begins anew."""
        columns = []
        for (name, type_), values in zip(self.types.items(), self.values):
            nulls = [i for i, value in enumerate(values) if value is None]
            try:
                kind, data = packed(type_.removesuffix("?"), values)
            except (TypeError, ValueError) as error:
                raise TypeError(f"column {name} of table {self.name}: {error}") from error
            columns.append((name, kind, data, nulls))
        seqs = self.seqs
        self._begin()
        return seqs, columns


def packed(type_: str, values: list[Any]) -> tuple[str, Any]:
    """Returns the contract's kind of column, and its data."""
    match type_:
        case "boolean":
            return "boolean", [bool(value) for value in values]
        case "int64" | "timestamp":
            return "signed", [int(value or 0) for value in values]
        case "uint64":
            return "unsigned", [int(value or 0) for value in values]
        case "double":
            return "double", [float(value or 0) for value in values]
        case "text":
            return "text", ["" if value is None else str(value) for value in values]
        case "json":
            return "text", [json.dumps(value) for value in values]
        case "address":
            return fixed(20, values)
        case "hash":
            return fixed(32, values)
        case "bignum":
            return bignum(values)
        case "bytes":
            parts = [raw(value) for value in values]
            return "bytes", ([0, *accumulate(len(part) for part in parts)], b"".join(parts))
    raise TypeError(f"there is no type {type_}")


def raw(value: Any) -> bytes:
    """Returns bytes, or those of `0x` text."""
    if isinstance(value, str):
        if not value.startswith("0x"):
            raise ValueError(f"not hexadecimal: {value}")
        return bytes.fromhex(value[2:])
    return bytes(value or b"")


def fixed(width: int, values: list[Any]) -> tuple[str, Any]:
    """Packs values of one width."""
    parts = [bytes(width) if value is None else raw(value) for value in values]
    for part in parts:
        if len(part) != width:
            raise ValueError(f"0x{part.hex()} has {len(part)} bytes, not {width}")
    return "fixed", (width, b"".join(parts))


def bignum(values: list[Any]) -> tuple[str, Any]:
    """Words as they are; anything else as decimal text."""
    if all(isinstance(value, bytes) and len(value) == 32 for value in values):
        return "fixed", (32, b"".join(values))
    return "text", [str(decimal(value)) for value in values]


def decimal(value: Any) -> int:
    """Returns an integer of any size; bytes are unsigned."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value or 0)
