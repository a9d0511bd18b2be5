"""What a plugin says of itself, and its handler."""

from dataclasses import dataclass, field
from typing import Callable, Optional

from headcount_plugin.events import Batch
from headcount_plugin.host import Host, Imports


@dataclass
class Subscription:
    """Which events are wanted. What is empty means any."""

    events: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    chains: list[int] = field(default_factory=list)
    topics: list[list[str]] = field(default_factory=list)
    """Allowed values of topic 1, 2 and 3."""
    start_block: Optional[int] = None
    decode: bool = False
    """Whether `event.args` is wanted."""


Handler = Callable[[Host, Batch], None]


class Plugin:
    """A plugin: tables are declared with `table`, the handler is marked with `@plugin.handle`."""

    def __init__(
        self,
        name: str,
        version: str,
        *,
        events: Optional[list[str]] = None,
        decode: bool = False,
        subscriptions: Optional[list[Subscription]] = None,
        logic_version: int = 1,
        visibility: str = "latest",
        http: bool = False,
    ):
        self.name = name
        self.version = version
        self.logic_version = logic_version
        """Rises when the same events give other rows."""
        self.visibility = visibility
        """Which blocks it is handed: latest, safe or finalized."""
        self.http = http
        """Whether it fetches. Then it runs only where the operator grants it hosts."""
        self.subscriptions = subscriptions or [Subscription(events or [], decode=decode)]
        self.tables: dict[str, dict[str, str]] = {}
        self.keys: dict[str, list[str]] = {}
        self.config: dict[str, str] = {}
        """What the operator configured."""
        self._handle: Optional[Handler] = None
        self._imports: Optional[Imports] = None
        self._init: Optional[Callable[[dict[str, str]], None]] = None

    def table(self, name: str, columns: dict[str, str], key: Optional[list[str]] = None) -> None:
        """Declares a table. Types: boolean, int64, uint64, bignum, double, text, bytes, address, hash,
        timestamp, json; with `?` behind it where NULL is allowed. A row replaces the one with the same
        key; without a key rows are only added."""
        self.tables[name] = columns
        self.keys[name] = key or []

    def handle(self, handler: Handler) -> Handler:
        """Marks the function that handles a batch."""
        self._handle = handler
        return handler

    def init(self, check: Callable[[dict[str, str]], None]) -> Callable[[dict[str, str]], None]:
        """Marks the function that raises what is wrong with the operator's configuration."""
        self._init = check
        return check

    def set_up(self, config: dict[str, str], imports: Imports) -> None:
        """Takes the operator's configuration, and what stands behind the plugin."""
        self.config = config
        self._imports = imports
        if self._init is not None:
            self._init(config)

    def is_granted(self, sink: str) -> bool:
        """Whether the operator lets the plugin send to this sink; for the function that `init` marks."""
        return self._imports is not None and self._imports.is_granted(sink)

    def may_fetch(self, url: str) -> bool:
        """Whether the operator lets the plugin ask this URL; likewise."""
        return self._imports is not None and self._imports.may_fetch(url)

    def run(self, imports: Imports, columns: object) -> list[tuple[int, str]]:
        """Handles one batch. Returns the events that were set aside."""
        if self._handle is None:
            raise TypeError("no function is marked with @plugin.handle")
        host = Host(self.tables, imports)
        self._handle(host, Batch(columns))
        host.finish()
        return host.rejected
