"""Events as objects, over the columns of a batch."""

import json
from typing import Any, Iterator, Optional

UNKNOWN = 0xFFFFFFFF
"""Stands for no signature."""


class Batch:
    """A run of whole blocks of one chain, in order; `columns` is the batch as the contract has it."""

    __slots__ = ("columns", "chain_id")

    def __init__(self, columns: Any):
        self.columns = columns
        self.chain_id: int = columns.chain_id

    @property
    def events(self) -> Iterator["Event"]:
        """Every event, in order."""
        return (Event(self.columns, i) for i in range(self.columns.len))


class Event:
    """One event of a batch."""

    __slots__ = ("_columns", "_index")

    def __init__(self, columns: Any, index: int):
        self._columns = columns
        self._index = index

    @property
    def seq(self) -> int:
        """Delivery number: unique, never used again."""
        return self._columns.seq[self._index]

    @property
    def address(self) -> bytes:
        """Emitting contract, 20 bytes."""
        return self._columns.address[20 * self._index : 20 * self._index + 20]

    @property
    def topics(self) -> list[bytes]:
        """Topics, 32 bytes each; the first is the hash of the signature."""
        columns, i = self._columns, self._index
        first, end = columns.topic_off[i], columns.topic_off[i + 1]
        return [columns.topics[32 * t : 32 * t + 32] for t in range(first, end)]

    @property
    def data(self) -> bytes:
        """Arguments that are not indexed, as the ABI packs them."""
        columns, i = self._columns, self._index
        return columns.data[columns.data_off[i] : columns.data_off[i + 1]]

    @property
    def block(self) -> Any:
        """Block: number, time (Unix seconds, or None), hash, parent_hash."""
        return self._columns.blocks[self._columns.block[self._index]]

    @property
    def tx_hash(self) -> bytes:
        """Transaction, 32 bytes."""
        return self._columns.tx_hash[32 * self._index : 32 * self._index + 32]

    @property
    def tx_index(self) -> int:
        return self._columns.tx_index[self._index]

    @property
    def log_index(self) -> int:
        return self._columns.log_index[self._index]

    @property
    def signature(self) -> Optional[str]:
        """Signature such as `Transfer(address,address,uint256)`, where known."""
        index = self._columns.signature[self._index]
        return None if index == UNKNOWN else self._columns.signatures[index]

    @property
    def args(self) -> Optional[dict[str, Any]]:
        """Decoded arguments by name: with `decode` only, and where the ledger knows them. Integers above
        2^53 and all of 256 bit are decimal strings."""
        decoded = self._columns.decoded
        text = decoded[self._index] if decoded else ""
        return json.loads(text) if text else None
