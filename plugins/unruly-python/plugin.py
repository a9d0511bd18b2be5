"""Misbehaves as its configuration tells it; for tests of the host."""

import os
import random
import socket
import time

from headcount_plugin import Batch, Halt, Host, Plugin, Retry, event_key

plugin = Plugin("unruly-python", "0.1.0", events=["Transfer(address,address,uint256)"], http=True)
plugin.table("senses", {"text": "text"})
plugin.table("numbers", {"n": "uint64"})
MISDEEDS = {}


def misdeed(does):
    MISDEEDS[does.__name__] = does
    return does


@misdeed
def nothing(host: Host, batch: Batch) -> None:
    pass


@misdeed
def senses(host: Host, batch: Batch) -> None:
    """Everything that could tell one run from another."""
    event = next(batch.events)
    seen = [time.time(), time.monotonic(), random.random(), os.urandom(8).hex(), dict(os.environ)]
    host.emit("senses", event, {"text": " ".join(map(str, seen))})


@misdeed
def throws(host: Host, batch: Batch) -> None:
    {}["nothing"]


@misdeed
def later(host: Host, batch: Batch) -> None:
    raise Retry("come again", 5)


@misdeed
def stop(host: Host, batch: Batch) -> None:
    raise Halt("enough")


@misdeed
def connects(host: Host, batch: Batch) -> None:
    socket.socket().connect(("127.0.0.1", 1))


@misdeed
def resolves(host: Host, batch: Batch) -> None:
    socket.getaddrinfo(b"localhost", 80)


@misdeed
def reads(host: Host, batch: Batch) -> None:
    open("/etc/passwd").read()


@misdeed
def imports(host: Host, batch: Batch) -> None:
    import sqlite3


@misdeed
def loops(host: Host, batch: Batch) -> None:
    while True:
        pass


@misdeed
def recurses(host: Host, batch: Batch) -> None:
    recurses(host, batch)


@misdeed
def hoards(host: Host, batch: Batch) -> None:
    held = []
    while True:
        held.append(bytearray(1 << 20))


@misdeed
def column(host: Host, batch: Batch) -> None:
    host.emit("senses", next(batch.events), {"txt": ""})


@misdeed
def number(host: Host, batch: Batch) -> None:
    host.emit("numbers", next(batch.events), {"n": "many"})


@misdeed
def aside(host: Host, batch: Batch) -> None:
    host.set_aside(next(batch.events), "an odd one")


@misdeed
def prints(host: Host, batch: Batch) -> None:
    print("printed")


@misdeed
def asks(host: Host, batch: Batch) -> None:
    """Asks a host, and tells a sink what it said."""
    said = host.fetch(plugin.config["url"], method="POST", headers={"x-of": "python"}, body="hello")
    text = said.or_raise().text()
    for event in batch.events:
        host.emit("senses", event, {"text": text})
        host.enqueue(plugin.config["sink"], event_key(event), {"said": text})


@plugin.init
def check(config: dict[str, str]) -> None:
    if config.get("misdeed", "nothing") not in MISDEEDS:
        raise ValueError(f"no misdeed {config['misdeed']}")
    sink, url = config.get("sink"), config.get("url", "")
    if sink is not None and not plugin.is_granted(sink):
        raise ValueError(f"sink {sink} is not granted")
    if "ftp:" in url and not plugin.may_fetch(url):
        raise ValueError(f"{url} is not granted")


@plugin.handle
def handle(host: Host, batch: Batch) -> None:
    MISDEEDS[plugin.config.get("misdeed", "nothing")](host, batch)
