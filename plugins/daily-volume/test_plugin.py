import unittest

from headcount_plugin.fake import FakeEvent, FakeHost
from plugin import plugin


def word(last: int) -> bytes:
    return last.to_bytes(32, "big")


def transfer(token: int, value: int) -> FakeEvent:
    return FakeEvent(bytes([token]) * 20, [word(0), word(1), word(2)], word(value))


class Days(unittest.TestCase):
    def test_a_day_goes_on_in_the_next_batch(self):
        host = FakeHost()
        host.handle(plugin, [transfer(9, 50), transfer(8, 2**255), transfer(9, 1)])
        host.handle(plugin, [transfer(8, 2**255)], first_seq=4)
        rows = [(row["token"][0], row["_seq"], row["transfers"], row["volume"]) for row in host.rows]
        self.assertEqual(rows, [(9, 3, 2, "51"), (8, 2, 1, str(2**255)), (8, 4, 2, str(2**256))])

    def test_an_nft_has_no_volume(self):
        host = FakeHost()
        host.handle(plugin, [FakeEvent(b"\x07" * 20, [word(0), word(1), word(2), word(3)])])
        self.assertEqual((host.rows, host.state), ([], {}))


if __name__ == "__main__":
    unittest.main()
