// Run by tools/script-plugins.sh beside a copy of the SDK.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeHost } from './sdk/js/fake.js';
import { descriptor } from './sdk/js/guest.js';
import { Halt, Reject, Retry, address, bytes, eventKey, hex, int, uint } from './sdk/js/index.js';

const word = (last) => `0x${last.toString(16).padStart(64, '0')}`;
const one = { address: `0x${'09'.repeat(20)}`, topics: [word(0), word(7)], data: '0x0102' };
const columns = {
  b: 'boolean', i: 'int64', u: 'uint64', big: 'bignum', d: 'double', t: 'text', raw: 'bytes',
  a: 'address', h: 'hash', at: 'timestamp', j: 'json',
};
const plugin = (handle, table = columns) => ({
  name: 'p', version: '1', events: ['E()'], tables: { t: { columns: table } }, handle,
});
const failure = (handle, table) => {
  try {
    new FakeHost().handle(plugin(handle, table), [one]);
  } catch (error) {
    return error;
  }
};

test('every type has its column', () => {
  const host = new FakeHost();
  const row = {
    b: true, i: -1, u: 2n, big: -(2n ** 200n), d: 0.5, t: 'é', raw: '0x00ff', a: one.address,
    h: bytes(word(1)), at: 5, j: { x: [1] },
  };
  host.handle(plugin((own, { events }) => { for (const event of events) own.emit('t', event, row); }), [one]);
  assert.deepEqual(host.rows, [{
    table: 't', seq: 1n, b: true, i: -1n, u: 2n, big: `-${2n ** 200n}`, d: 0.5, t: 'é', raw: '0x00ff',
    a: one.address, h: word(1), at: 5n, j: '{"x":[1]}',
  }]);
});

test('NULL goes where the table allows it', () => {
  const emit = (row) => (own, { events }) => { for (const event of events) own.emit('t', event, row); };
  const nullable = Object.fromEntries(Object.entries(columns).map(([name, type]) => [name, `${type}?`]));
  const host = new FakeHost();
  host.handle(plugin(emit({}), nullable), [one]);
  assert.equal(host.rows[0].big, null);
  assert.deepEqual(new Set(Object.values(host.rows[0]).slice(2)), new Set([null]));
  assert.match(failure(emit({})).val, /column b of table t has no value/);
});

test('what is wrong with a row is said with table and column', () => {
  const emit = (table, row) => (own, { events }) => { for (const event of events) own.emit(table, event, row); };
  assert.match(failure(emit('t', { n: 'many' }), { n: 'uint64' }).val, /column n of table t: .*many/);
  assert.match(failure(emit('t', { a: '0x01' }), { a: 'address' }).val, /0x01 has 1 bytes, not 20/);
  assert.match(failure(emit('t', { a: 'joe' }), { a: 'address' }).val, /not hexadecimal: joe/);
  assert.match(failure(emit('t', { n: 1, m: 2 }), { n: 'uint64' }).val, /has no column m/);
  assert.match(failure(emit('x', {}), {}).val, /table x is not declared/);
});

test('errors become what the contract has for them', () => {
  const thrown = (error) => failure(() => { throw error; });
  assert.deepEqual(thrown(new Retry('later', 9)), { tag: 'retry', val: { afterMs: 9, reason: 'later' } });
  assert.deepEqual(thrown(new Halt('enough')), { tag: 'halt', val: 'enough' });
  assert.deepEqual(thrown(new Reject('bad')), { tag: 'reject', val: 'bad' });
  assert.deepEqual(thrown('text'), { tag: 'reject', val: 'text' });
  assert.match(thrown(new TypeError('odd')).val, /^TypeError: odd/);
  assert.match(failure((own, batch) => Promise.reject(new Error('late'))).val, /must not be async/);
});

test('state is read and written as bytes or text', () => {
  const host = new FakeHost();
  host.handle(plugin((own) => {
    own.set('k', 'v');
    own.setMany([['k2', bytes('0x01')], ['k3', '3']]);
    own.delete('k3');
    assert.deepEqual(own.getMany(['k', 'x']).map((value) => value && new TextDecoder().decode(value)), ['v', undefined]);
    assert.deepEqual(own.scan('k', 'k').map(([key]) => hex(key)), ['0x6b32']);
  }), [one]);
  assert.deepEqual([...host.state.keys()], ['6b', '6b32']);
});

test('a message is enqueued with a key that the event keeps', () => {
  const host = new FakeHost();
  const tell = (own, { events }) => {
    for (const event of events) own.enqueue({ sink: 'ops', key: eventKey(event), body: { n: 1 } });
  };
  host.handle({ name: 'p', version: '1', events: ['E()'], handle: tell }, [one, one]);
  const [first, second] = host.messages;
  assert.equal(first.sink, 'ops');
  assert.deepEqual([first.contentType, first.body], ['application/json', '{"n":1}']);
  assert.equal(first.key, `0x${'00'.repeat(32)}:0x${'00'.repeat(32)}:0:34324bfa37f997cf`);
  assert.notEqual(first.key, second.key);
});

test('a host is asked, and what its silence means is said', () => {
  const host = new FakeHost();
  host.answers.push({ headers: [['X-Of', 'there']], body: '{"a":1}' }, { status: 503 }, { status: 404 });
  const thrown = [];
  const ask = (own) => {
    const answer = own.fetch('https://a.example/', { headers: { 'x-key': 1 }, body: 'hi', method: 'POST' });
    assert.deepEqual([answer.orThrow().json(), answer.header('x-of')], [{ a: 1 }, 'there']);
    for (let i = 0; i < 3; i++) {
      try {
        own.fetch('https://a.example/').orThrow();
      } catch (error) {
        thrown.push(error);
      }
    }
  };
  host.handle({ ...plugin(ask), http: true }, [one]);
  assert.deepEqual(host.requests[0], {
    method: 'POST', url: 'https://a.example/', headers: [['x-key', '1']], body: 'hi', timeoutMs: 0,
  });
  assert.deepEqual(thrown.map((error) => error.message), ['answered 503', 'answered 404', 'no answer in time']);
  assert.ok(thrown[0] instanceof Retry && thrown[1] instanceof Reject && thrown[2] instanceof Retry);
  const unsaid = failure((own) => own.fetch('https://a.example/'));
  assert.deepEqual(unsaid, { tag: 'halt', val: 'a plugin that fetches says so: http: true' });
});

test('words are read as what they are', () => {
  const negative = bytes(`0x${'f'.repeat(64)}`);
  assert.equal(int(negative), -1n);
  assert.equal(uint(negative), 2n ** 256n - 1n);
  assert.equal(hex(address(bytes(word(7)))), `0x${'0'.repeat(39)}7`);
});

test('the descriptor is the contract’s', () => {
  const described = descriptor({
    name: 'p', version: '1', logicVersion: 3, tables: { t: { columns: { a: 'text?' }, key: ['b'] } },
    subscriptions: [{ events: ['E()'], chains: [1], startBlock: 5, decode: true }],
  });
  assert.equal(described.logicVersion, 3);
  assert.deepEqual(described.tables[0].columns, [{ name: 'a', ty: 'text', nullable: true }]);
  assert.deepEqual(described.subscriptions[0], {
    chains: [1n], addresses: [], events: ['E()'], topics: [], startBlock: 5n, decode: true,
  });
});
