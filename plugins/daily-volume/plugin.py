"""How much of each ERC-20 token moves in a day (UTC): table `days`, one row per token and day.

The counts so far are in the state, which is committed with the rows and undone with them.
"""

from headcount_plugin import Batch, Event, Host, Plugin, unsigned

DAY = 24 * 60 * 60

plugin = Plugin("daily-volume", "0.1.0", events=["Transfer(address,address,uint256)"])
plugin.table(
    "days",
    {"token": "address", "day": "timestamp", "transfers": "uint64", "volume": "bignum"},
    key=["token", "day"],
)


@plugin.handle
def handle(host: Host, batch: Batch) -> None:
    found: dict[bytes, list[Event]] = {}
    for event in batch.events:
        # The transfer of an NFT has a third indexed argument and no data.
        if len(event.topics) != 3 or len(event.data) != 32:
            continue
        if event.block.time is None:
            host.set_aside(event, "the time of its block is not known")
            continue
        day = event.block.time // DAY * DAY
        found.setdefault(event.address + day.to_bytes(8, "big"), []).append(event)
    counts = {}
    for (key, events), before in zip(found.items(), host.get_many(found)):
        transfers, volume = map(int, (before or b"0 0").split())
        transfers += len(events)
        volume += sum(unsigned(event.data) for event in events)
        counts[key] = f"{transfers} {volume}"
        day = unsigned(key[20:])
        row = {"token": key[:20], "day": day, "transfers": transfers, "volume": volume}
        host.emit("days", events[-1], row)
    host.set_many(counts.items())
