"""What a plugin may do while it handles a batch."""

from typing import Any, Iterable, Optional, Protocol, Union

from headcount_plugin.events import Event
from headcount_plugin.rows import Rows

ROWS_HELD = 10_000
"""Rows of a table that are held before they are handed over."""

Key = Union[bytes, str]
"""Keys and values are bytes, or text, which is stored as UTF-8."""


class Imports(Protocol):
    """What stands behind: the contract in the sandbox, a dictionary in tests."""

    def emit(self, table: str, seqs: list[int], columns: list[Any]) -> None: ...
    def get_many(self, keys: list[bytes]) -> list[Optional[bytes]]: ...
    def set_many(self, items: list[tuple[bytes, bytes]]) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def scan(self, prefix: bytes, after: Optional[bytes], limit: int) -> list[tuple[bytes, bytes]]: ...
    def log(self, level: str, message: str, fields: list[tuple[str, str]]) -> None: ...
    def count(self, metric: str, delta: int) -> None: ...


class Host:
    """Handed to `handle`, for one batch."""

    def __init__(self, tables: dict[str, dict[str, str]], imports: Imports):
        self._imports = imports
        self._tables = {name: Rows(name, columns) for name, columns in tables.items()}
        self.rejected: list[tuple[int, str]] = []

    def emit(self, table: str, event: Event, row: dict[str, Any]) -> None:
        """Emits a row that derives from `event`: values by column name. Addresses, hashes and bytes are
        bytes or `0x` text; a bignum is an int, decimal text or a word; json is any value."""
        rows = self._tables.get(table)
        if rows is None:
            raise TypeError(f"table {table} is not declared")
        rows.add(event.seq, row)
        if len(rows.seqs) >= ROWS_HELD:
            self._imports.emit(table, *rows.take())

    def set_aside(self, event: Event, reason: str) -> None:
        """Sets one event aside; what else was made of it stays."""
        self.rejected.append((event.seq, str(reason)))

    def get(self, key: Key) -> Optional[bytes]:
        """Returns the value of a key."""
        return self.get_many([key])[0]

    def get_many(self, keys: Iterable[Key]) -> list[Optional[bytes]]:
        """Returns the values of many keys; one call is much cheaper than many."""
        return self._imports.get_many([_raw(key) for key in keys])

    def set(self, key: Key, value: Key) -> None:
        """Sets a key."""
        self.set_many([(key, value)])

    def set_many(self, items: Iterable[tuple[Key, Key]]) -> None:
        """Sets many: pairs of key and value."""
        self._imports.set_many([(_raw(key), _raw(value)) for key, value in items])

    def delete(self, key: Key) -> None:
        """Deletes a key."""
        self._imports.delete(_raw(key))

    def scan(
        self, prefix: Key, after: Optional[Key] = None, limit: int = 1000
    ) -> list[tuple[bytes, bytes]]:
        """Returns pairs in order of key, at most 1000, strictly after `after`."""
        return self._imports.scan(_raw(prefix), None if after is None else _raw(after), limit)

    def log(self, message: str, level: str = "info", **fields: Any) -> None:
        """Logs a line."""
        self._imports.log(level, str(message), [(name, str(value)) for name, value in fields.items()])

    def count(self, metric: str, delta: int = 1) -> None:
        """Adds to a metric."""
        self._imports.count(metric, delta)

    def finish(self) -> None:
        """Hands over what is held."""
        for name, rows in self._tables.items():
            if rows.seqs:
                self._imports.emit(name, *rows.take())


def _raw(value: Key) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
