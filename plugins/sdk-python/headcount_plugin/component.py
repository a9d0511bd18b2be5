"""Ties `plugin.py` to the contract. What is imported here exists in the sandbox only."""

import json
from typing import Any, NoReturn

from componentize_py_types import Err
from wit_world.exports import meta
from wit_world.imports import log, output, state, types

from headcount_plugin.failures import Halt, Reject, Retry, told
from headcount_plugin.rows import TYPES
from plugin import plugin

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
            plugin.set_up(json.loads(config or "{}"))
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
