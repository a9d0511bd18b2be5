"""Run by tools/script-plugins.sh beside a copy of the SDK."""

import json
import unittest

from headcount_plugin import (
    Answer, Halt, Plugin, Reject, Retry, address, event_key, from_hex, signed, to_hex, unsigned,
)
from headcount_plugin.failures import told
from headcount_plugin.fake import FakeEvent, FakeHost

ONE = FakeEvent(b"\x09" * 20, [bytes(32), (7).to_bytes(32, "big")], b"\x01\x02", json.dumps({"to": "0x01"}))
COLUMNS = {
    "b": "boolean", "i": "int64", "u": "uint64", "big": "bignum", "d": "double", "t": "text", "raw": "bytes",
    "a": "address", "h": "hash", "at": "timestamp", "j": "json",
}


def handled(handler, columns=None, http=False, answers=()):
    plugin = Plugin("p", "1", events=["E()"], http=http)
    plugin.table("t", COLUMNS if columns is None else columns)
    plugin.handle(handler)
    host = FakeHost(answers=list(answers))
    host.handle(plugin, [ONE])
    return host


def emits(row, table="t"):
    return lambda host, batch: [host.emit(table, event, row) for event in batch.events]


class Sdk(unittest.TestCase):
    def test_every_type_has_its_column(self):
        row = {
            "b": True, "i": -1, "u": 2, "big": -(2**200), "d": 0.5, "t": "é", "raw": b"\x00\xff",
            "a": "0x" + "09" * 20, "h": bytes(32), "at": 5, "j": {"x": [1]},
        }
        host = handled(emits(row))
        expected = {**row, "big": str(-(2**200)), "a": b"\x09" * 20, "j": '{"x": [1]}'}
        self.assertEqual(host.rows, [{"_table": "t", "_seq": 1, **expected}])

    def test_null_goes_where_the_table_allows_it(self):
        host = handled(emits({}), {name: type_ + "?" for name, type_ in COLUMNS.items()})
        self.assertEqual({host.rows[0][name] for name in COLUMNS}, {None})
        with self.assertRaisesRegex(TypeError, "column b of table t has no value"):
            handled(emits({}))

    def test_what_is_wrong_with_a_row_is_said_with_table_and_column(self):
        for row, columns, why in [
            ({"n": "many"}, {"n": "uint64"}, "column n of table t: .*many"),
            ({"a": "0x01"}, {"a": "address"}, "0x01 has 1 bytes, not 20"),
            ({"a": "joe"}, {"a": "address"}, "not hexadecimal: joe"),
            ({"n": 1, "m": 2}, {"n": "uint64"}, "has no column m"),
        ]:
            with self.assertRaisesRegex(TypeError, why):
                handled(emits(row), columns)
        with self.assertRaisesRegex(TypeError, "table x is not declared"):
            handled(emits({}, "x"))

    def test_an_exception_is_told_with_its_place(self):
        try:
            handled(lambda host, batch: {}["gone"])
        except KeyError as error:
            self.assertRegex(told(error), r"^KeyError: 'gone' \(test_sdk.py:\d+\)$")

    def test_state_is_read_and_written_as_bytes_or_text(self):
        def handler(host, batch):
            host.set("k", "v")
            host.set_many([("k2", b"\x01"), ("k3", "3")])
            host.delete("k3")
            self.assertEqual(host.get_many(["k", "x"]), [b"v", None])
            self.assertEqual(host.get("k2"), b"\x01")
            self.assertEqual(host.scan("k", "k"), [(b"k2", b"\x01")])

        self.assertEqual(handled(handler).state, {b"k": b"v", b"k2": b"\x01"})

    def test_an_event_reads_its_columns(self):
        def handler(host, batch):
            [event] = batch.events
            self.assertEqual((event.seq, event.data, len(event.topics)), (1, b"\x01\x02", 2))
            self.assertEqual((event.args, event.signature, event.block.number), ({"to": "0x01"}, None, 1))

        handled(handler)

    def test_a_message_is_enqueued_with_a_key_that_the_event_keeps(self):
        def handler(host, batch):
            for event in batch.events:
                host.enqueue("ops", event_key(event), {"n": 1})

        [message] = handled(handler).messages
        zeros = "0x" + "00" * 32
        self.assertEqual(message, {
            "sink": "ops", "key": f"{zeros}:{zeros}:0:34324bfa37f997cf", "content_type": "application/json", "body": b'{"n": 1}',
        })

    def test_a_host_is_asked_and_what_its_silence_means_is_said(self):
        def handler(host, batch):
            answer = host.fetch("https://a.example/", method="POST", headers={"x-key": "k"}, body="hi")
            self.assertEqual((answer.or_raise().json(), answer.header("x-of")), ({"a": 1}, "there"))
            for kind, why in [(Retry, "answered 503"), (Reject, "answered 404"), (Retry, "no answer in time")]:
                with self.assertRaisesRegex(kind, why):
                    host.fetch("https://a.example/").or_raise()

        answers = [Answer(200, [("X-Of", "there")], b'{"a": 1}'), Answer(503), Answer(404)]
        host = handled(handler, http=True, answers=answers)
        self.assertEqual(host.requests[0], {
            "method": "POST", "url": "https://a.example/", "headers": [("x-key", "k")], "body": b"hi",
            "timeout_ms": 0,
        })
        with self.assertRaisesRegex(Halt, "http=True"):
            handled(lambda host, batch: host.fetch("https://a.example/"))

    def test_words_are_read_as_what_they_are(self):
        self.assertEqual((signed(b"\xff" * 32), unsigned(b"\xff" * 32)), (-1, 2**256 - 1))
        self.assertEqual(to_hex(address(ONE.topics[1])), "0x" + "0" * 39 + "7")
        self.assertEqual(from_hex("0x00ff"), b"\x00\xff")


if __name__ == "__main__":
    unittest.main()
