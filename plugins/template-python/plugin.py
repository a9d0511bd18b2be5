"""Every transfer of an ERC-20 token as a row of the table `transfers`.

A plugin is a function of the batch, its configuration and its own state: a fresh one handles every batch,
and what it writes is committed together with how far it has come, or not at all.
"""

from headcount_plugin import Batch, Host, Plugin, address

plugin = Plugin("NAME", "0.1.0", events=["Transfer(address,address,uint256)"])
plugin.table(
    "transfers",
    {"token": "address", "sender": "address", "receiver": "address", "value": "bignum"},
)


@plugin.handle
def handle(host: Host, batch: Batch) -> None:
    for event in batch.events:
        topics = event.topics
        # The transfer of an NFT has a third indexed argument and no data.
        if len(topics) == 3 and len(event.data) == 32:
            ends = {"sender": address(topics[1]), "receiver": address(topics[2])}
            host.emit("transfers", event, {"token": event.address, "value": event.data, **ends})
