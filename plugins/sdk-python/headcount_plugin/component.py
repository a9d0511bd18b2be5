"""Ties `plugin.py` to the contract. What is imported here exists in the sandbox only."""

import json
from typing import Any, NoReturn

from componentize_py_types import Err
from wit_world.exports import meta
from wit_world.imports import log, outbox, output, state, types

from headcount_plugin.failures import Halt, Reject, Retry, told
from headcount_plugin.host import Answer
from headcount_plugin.rows import TYPES
from plugin import plugin

if plugin.http:
    from wit_world.imports import http

KINDS = {
    "boolean": output.ColumnData_Boolean,
    "signed": output.ColumnData_Signed,
    "unsigned": output.ColumnData_Unsigned,
    "double": output.ColumnData_Double,
    "text": output.ColumnData_Text,
    "fixed": output.ColumnData_Fixed,
    "bytes": output.ColumnData_Bytes,
}
COLUMN_TYPES = dict(zip(TYPES, meta.ColumnType))
LEVELS = {level.name.lower(): level for level in log.Level}


class Meta:
    """What the plugin says of itself."""

    def describe(self) -> meta.Descriptor:
        tables = [
            meta.Table(name, [_column(*column) for column in columns.items()], plugin.keys[name])
            for name, columns in plugin.tables.items()
        ]
        subscriptions = [
            meta.Subscription(s.chains, s.addresses, s.events, s.topics, s.start_block, s.decode)
            for s in plugin.subscriptions
        ]
        visibility = meta.Visibility[plugin.visibility.upper()]
        return meta.Descriptor(
            plugin.name, plugin.version, plugin.logic_version, visibility, subscriptions, tables
        )


def _column(name: str, type_: str) -> meta.Column:
    kind = type_.removesuffix("?")
    if kind not in COLUMN_TYPES:
        raise TypeError(f"there is no type {kind}, of column {name}: {', '.join(TYPES)}")
    return meta.Column(name, COLUMN_TYPES[kind], type_.endswith("?"))


class Handler:
    """One batch."""

    def init(self, config: str) -> None:
        try:
            plugin.set_up(json.loads(config or "{}"), Sandbox())
        except Exception as error:
            raise Err(str(error) or told(error)) from error

    def handle(self, batch: types.Batch) -> types.Outcome:
        try:
            rejected = plugin.run(Sandbox(), batch)
        except Retry as error:
            raise Err(types.Failure_Retry(types.RetryHint(error.after_ms, str(error)))) from error
        except Halt as error:
            raise Err(types.Failure_Halt(str(error))) from error
        except Reject as error:
            raise Err(types.Failure_Reject(str(error))) from error
        except Exception as error:
            raise Err(types.Failure_Reject(told(error))) from error
        return types.Outcome([types.Rejection(seq, reason) for seq, reason in rejected])


class Sandbox:
    """The real host, through the imports."""

    def emit(self, table: str, seqs: list[int], columns: list[Any]) -> None:
        whole = [output.Column(name, KINDS[kind](data), nulls) for name, kind, data, nulls in columns]
        try:
            output.emit(table, seqs, whole)
        except Err as error:
            _refused(error)

    def get_many(self, keys: list[bytes]) -> list[Any]:
        return state.get_many(keys)

    def set_many(self, items: list[tuple[bytes, bytes]]) -> None:
        try:
            state.set_many(items)
        except Err as error:
            _refused(error)

    def delete(self, key: bytes) -> None:
        state.delete(key)

    def scan(self, prefix: bytes, after: Any, limit: int) -> list[tuple[bytes, bytes]]:
        return state.scan(prefix, after, limit)

    def enqueue(self, sink: str, key: str, content_type: str, body: bytes) -> None:
        try:
            outbox.enqueue(outbox.Message(sink, key, content_type, body))
        except Err as error:
            if isinstance(error.value, outbox.OutboxError_UnknownSink):
                # Only the operator can change that.
                raise Halt(error.value.value) from error
            _refused(error)

    def is_granted(self, sink: str) -> bool:
        return outbox.is_granted(sink)

    def fetch(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> Answer:
        if not plugin.http:
            raise Halt("a plugin that fetches says so: Plugin(..., http=True)")
        try:
            answer = http.fetch(http.Request(method, url, headers, body, timeout_ms))
        except Err as error:
            match error.value:
                case http.HttpError_Denied(why):
                    raise Halt(why) from error
                case http.HttpError_Timeout():
                    raise Retry("no answer in time") from error
                case http.HttpError_Network(why):
                    raise Retry(why) from error
            _refused(error)
        return Answer(answer.status, answer.headers, answer.body)

    def may_fetch(self, url: str) -> bool:
        return plugin.http and http.is_granted(url)

    def log(self, level: str, message: str, fields: list[tuple[str, str]]) -> None:
        log.log(LEVELS[level], message, fields)

    def count(self, metric: str, delta: int) -> None:
        log.count(metric, delta)


def _refused(error: Err[Any]) -> NoReturn:
    """A refusal of the host is the batch's end, in its own words."""
    refusal = error.value
    if isinstance(refusal, output.EmitError_UnknownSeq):
        raise Reject(f"no event {refusal.value} in the batch") from error
    raise Reject(refusal.value) from error
