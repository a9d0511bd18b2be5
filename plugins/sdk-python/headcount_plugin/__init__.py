"""What a plugin for Headcount is written with.

The logic in `plugin.py` reaches the host only through the `host` it is handed, so that it runs in
`python -m unittest` against the `FakeHost` of `headcount_plugin.fake`; `headcount_plugin.component` ties
it to the sandbox.
"""

from headcount_plugin.events import Batch, Event
from headcount_plugin.failures import Halt, Reject, Retry
from headcount_plugin.host import Answer, Host, event_key
from headcount_plugin.plugin import Plugin, Subscription

__all__ = [
    "Answer", "Batch", "Event", "Halt", "Host", "Plugin", "Reject", "Retry", "Subscription",
    "address", "event_key", "from_hex", "signed", "to_hex", "unsigned",
]


def address(word: bytes) -> bytes:
    """Returns the address in a topic or another word of 32 bytes."""
    return word[12:]


def unsigned(word: bytes) -> int:
    """Returns the unsigned integer in a word."""
    return int.from_bytes(word, "big")


def signed(word: bytes) -> int:
    """Returns the signed integer in a word."""
    return int.from_bytes(word, "big", signed=True)


def to_hex(raw: bytes) -> str:
    """Returns bytes as `0x` and lower-case digits."""
    return "0x" + raw.hex()


def from_hex(text: str) -> bytes:
    """Returns the bytes of `0x` and digits."""
    if not text.startswith("0x"):
        raise ValueError(f"not hexadecimal: {text}")
    return bytes.fromhex(text[2:])
