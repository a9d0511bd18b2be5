"""A host for tests of a plugin's logic, outside of the sandbox: `python -m unittest`."""

from dataclasses import dataclass, field
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, Optional

from headcount_plugin.failures import Halt, Retry
from headcount_plugin.host import Answer
from headcount_plugin.plugin import Plugin


@dataclass
class FakeEvent:
    """An event of a test."""

    address: bytes
    topics: list[bytes]
    data: bytes = b""
    args: str = ""
    """Decoded arguments, as JSON."""


@dataclass
class FakeHost:
    """Keeps rows, state, messages, requests and lines in memory."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Every row emitted: `_table`, `_seq`, and its columns as they went over to the host."""
    state: dict[bytes, bytes] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Messages enqueued: `sink`, `key`, `content_type`, `body`."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Requests made: `method`, `url`, `headers`, `body`, `timeout_ms`."""
    answers: list[Answer] = field(default_factory=list)
    """Answers to requests, in order; where there is none left, nobody answers in time."""
    lines: list[str] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)

    def handle(
        self,
        plugin: Plugin,
        events: list[FakeEvent],
        config: Optional[dict[str, str]] = None,
        first_seq: int = 1,
    ) -> None:
        """Runs a plugin over a batch of one block, its events numbered from `first_seq`."""
        self._http = plugin.http
        plugin.set_up(config or {}, self)
        self.rejected += plugin.run(self, batch(events, first_seq))

    def emit(self, table: str, seqs: list[int], columns: list[Any]) -> None:
        for i, seq in enumerate(seqs):
            values = {name: _value(kind, data, nulls, i) for name, kind, data, nulls in columns}
            self.rows.append({"_table": table, "_seq": seq, **values})

    def get_many(self, keys: list[bytes]) -> list[Optional[bytes]]:
        return [self.state.get(key) for key in keys]

    def set_many(self, items: list[tuple[bytes, bytes]]) -> None:
        self.state.update(items)

    def delete(self, key: bytes) -> None:
        self.state.pop(key, None)

    def scan(self, prefix: bytes, after: Optional[bytes], limit: int) -> list[tuple[bytes, bytes]]:
        found = (item for item in sorted(self.state.items()) if item[0].startswith(prefix))
        return [item for item in found if after is None or item[0] > after][:limit]

    def enqueue(self, sink: str, key: str, content_type: str, body: bytes) -> None:
        self.messages.append({"sink": sink, "key": key, "content_type": content_type, "body": body})

    def is_granted(self, sink: str) -> bool:
        return True

    def fetch(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> Answer:
        if not self._http:
            raise Halt("a plugin that fetches says so: Plugin(..., http=True)")
        self.requests.append(
            {"method": method, "url": url, "headers": headers, "body": body, "timeout_ms": timeout_ms}
        )
        if not self.answers:
            raise Retry("no answer in time")
        return self.answers.pop(0)

    def may_fetch(self, url: str) -> bool:
        return self._http

    def log(self, level: str, message: str, fields: list[tuple[str, str]]) -> None:
        self.lines.append(f"{level}: {message}")

    def count(self, metric: str, delta: int) -> None:
        pass


def _value(kind: str, data: Any, nulls: list[int], i: int) -> Any:
    if i in nulls:
        return None
    match kind:
        case "fixed":
            width, packed = data
            return packed[width * i : width * (i + 1)]
        case "bytes":
            offsets, packed = data
            return packed[offsets[i] : offsets[i + 1]]
    return data[i]


def batch(events: list[FakeEvent], first_seq: int) -> Any:
    """Returns the columns of a batch of one block."""
    count = len(events)
    return SimpleNamespace(
        id=1, attempt=1, phase=0, chain_id=1, finalized=0, len=count,
        blocks=[SimpleNamespace(number=1, time=0, hash=bytes(32), parent_hash=b"")],
        seq=[first_seq + i for i in range(count)],
        block=[0] * count, tx_index=[0] * count, log_index=list(range(count)),
        tx_hash=bytes(32 * count),
        address=b"".join(event.address for event in events),
        topic_off=[0, *accumulate(len(event.topics) for event in events)],
        topics=b"".join(topic for event in events for topic in event.topics),
        data_off=[0, *accumulate(len(event.data) for event in events)],
        data=b"".join(event.data for event in events),
        signature=[0xFFFFFFFF] * count, signatures=[],
        decoded=[event.args for event in events],
    )
