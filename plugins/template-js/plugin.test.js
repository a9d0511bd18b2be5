import assert from 'node:assert/strict';
import { test } from 'node:test';
import plugin from './plugin.js';
import { FakeHost } from './sdk/js/fake.js';

const word = (last) => `0x${last.toString(16).padStart(64, '0')}`;

test('a transfer is a row and an NFT is not', () => {
  // Topic 0 is the event's hash; nothing else is subscribed to.
  const token = { address: `0x${'09'.repeat(20)}`, topics: [word(0), word(1), word(2)], data: word(50) };
  const nft = { address: `0x${'08'.repeat(20)}`, topics: [...token.topics, word(3)], data: '0x' };
  const host = new FakeHost();
  host.handle(plugin, [nft, token]);
  assert.equal(host.rows.length, 1);
  assert.equal(host.rows[0].seq, 2n, 'the second event');
  assert.equal(BigInt(host.rows[0].value), 50n);
});
