"""What a plugin may do while it handles a batch."""

import json
from dataclasses import dataclass, field
from typing import Any, Iterable, Optional, Protocol, Union

from headcount_plugin.events import Event
from headcount_plugin.failures import Reject, Retry
from headcount_plugin.rows import Rows

ROWS_HELD = 10_000
"""Rows of a table that are held before they are handed over."""

Key = Union[bytes, str]
"""Keys and values are bytes, or text, which is stored as UTF-8."""

LATER = (408, 425, 429)
"""Statuses of a host that is busy; the same request may be answered later."""


@dataclass
class Answer:
    """What a host answered."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    """In the order in which they came."""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> Optional[str]:
        """Returns a header, whatever the case of its name."""
        found = (value for other, value in self.headers if other.lower() == name.lower())
        return next(found, None)

    def text(self) -> str:
        """Returns the body as text; what is no UTF-8 in it is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Returns the body as what it is in JSON."""
        return json.loads(self.body)

    def or_raise(self) -> "Answer":
        """Returns itself where the status is 2xx; else raises `Retry` where it may pass (408, 425, 429,
        5xx), and `Reject`."""
        if self.ok:
            return self
        told = f"answered {self.status}"
        raise (Retry if self.status in LATER or self.status >= 500 else Reject)(told)


def event_key(event: Event) -> str:
    """Returns a key for an event that is the same whenever the event comes: after a restart, a rebuild, or
    a reorg that brings its block back. What it says is part of it: an event that a node told wrongly, and
    that was told before it was refuted, does not stand for the true one in its place."""
    said = _digest(event.address, *event.topics, event.data)
    return f"0x{event.block.hash.hex()}:0x{event.tx_hash.hex()}:{event.log_index}:{said:016x}"


def _digest(*parts: bytes) -> int:
    """FNV-1a over contract, topics and data."""
    total = 0xCBF29CE484222325
    for byte in b"".join(parts):
        total = (total ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return total


class Imports(Protocol):
    """What stands behind: the contract in the sandbox, a dictionary in tests."""

    def emit(self, table: str, seqs: list[int], columns: list[Any]) -> None: ...
    def get_many(self, keys: list[bytes]) -> list[Optional[bytes]]: ...
    def set_many(self, items: list[tuple[bytes, bytes]]) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def scan(self, prefix: bytes, after: Optional[bytes], limit: int) -> list[tuple[bytes, bytes]]: ...
    def enqueue(self, sink: str, key: str, content_type: str, body: bytes) -> None: ...
    def is_granted(self, sink: str) -> bool: ...
    def fetch(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> Answer: ...
    def may_fetch(self, url: str) -> bool: ...
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

    def enqueue(
        self, sink: str, key: str, body: Any, content_type: str = "application/json"
    ) -> None:
        """Enqueues a message to a sink that the operator granted. It is sent after the batch was committed,
        at least once, unless its block has left the chain before; a key that comes again is dropped. The
        body is text, bytes, or any other value, which is sent as JSON. `event_key(event)` is a key."""
        packed = _raw(body) if isinstance(body, (bytes, str)) else json.dumps(body).encode()
        self._imports.enqueue(sink, key, content_type, packed)

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Optional[dict[str, str]] = None,
        body: Key = b"",
        timeout_ms: int = 0,
    ) -> Answer:
        """Asks a host that the operator granted, and waits for its answer, whatever its status; needs
        `http=True` of the plugin. Redirects are not followed. Without `timeout_ms` it waits as long as the
        batch has left. A host that is not granted halts the plugin, one that cannot be reached or is too
        slow has the batch come again."""
        return self._imports.fetch(method, url, list((headers or {}).items()), _raw(body), timeout_ms)

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
