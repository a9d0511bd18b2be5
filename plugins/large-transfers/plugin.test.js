import assert from 'node:assert/strict';
import { test } from 'node:test';
import plugin from './plugin.js';
import { FakeHost } from './sdk/js/fake.js';

const word = (last) => `0x${last.toString(16).padStart(64, '0')}`;
const token = `0x${'09'.repeat(20)}`;
const transfer = (value) => ({ address: token, topics: [word(0), word(1), word(2)], data: word(value) });
const nft = { address: token, topics: [word(0), word(1), word(2), word(3)], data: '0x' };

test('only transfers from the minimum on are rows', () => {
  const host = new FakeHost();
  host.handle(plugin, [transfer(49), nft, transfer(50)], { minimum: '50' });
  assert.deepEqual(host.rows.map((row) => [row.seq, row.sender, BigInt(row.value)]), [
    [3n, `0x${'0'.repeat(39)}1`, 50n],
  ]);
});

test('without a minimum every transfer is a row', () => {
  const host = new FakeHost();
  host.handle(plugin, [transfer(0), transfer(1)]);
  assert.equal(host.rows.length, 2);
});

test('a minimum that is no number is refused in words', () => {
  const host = new FakeHost();
  const refused = (error) => error === 'minimum is no whole number: much';
  assert.throws(() => host.handle(plugin, [], { minimum: 'much' }), refused);
});
