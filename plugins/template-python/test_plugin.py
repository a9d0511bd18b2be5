import unittest

from headcount_plugin.fake import FakeEvent, FakeHost
from plugin import plugin


def word(last: int) -> bytes:
    return last.to_bytes(32, "big")


class Transfers(unittest.TestCase):
    def test_a_transfer_is_a_row_and_an_nft_is_not(self):
        # Topic 0 is the event's hash; nothing else is subscribed to.
        token = FakeEvent(b"\x09" * 20, [word(0), word(1), word(2)], word(50))
        nft = FakeEvent(b"\x08" * 20, [word(0), word(1), word(2), word(3)])
        host = FakeHost()
        host.handle(plugin, [nft, token])
        self.assertEqual(len(host.rows), 1)
        self.assertEqual(host.rows[0]["_seq"], 2, "the second event")
        self.assertEqual(host.rows[0]["value"], word(50))


if __name__ == "__main__":
    unittest.main()
