// A host for tests of a plugin's logic, outside of the sandbox: `node --test`.

import { guest } from './guest.js';
import { bytes } from './index.js';

/** Keeps rows, state, messages, requests and lines in memory. */
export class FakeHost {
  /** Every row emitted: { table, seq, and its columns as they went over to the host }. */
  rows = [];
  /** State: text of the key's bytes in hexadecimal to bytes. */
  state = new Map();
  /** Messages enqueued: { sink, key, contentType, body }, the body as text. */
  messages = [];
  /** Requests made: { method, url, headers, body, timeoutMs }. */
  requests = [];
  /** Answers to requests, in order: { status, headers, body }, the body as text; where there is none left,
   * nobody answers in time. */
  answers = [];
  /** Lines logged. */
  lines = [];
  /** Events set aside: { seq, reason }. */
  rejected = [];

  /** Runs a plugin over a batch of one block. An event is `{ address, topics, data }` in `0x` text;
   * they are numbered from `firstSeq`. Throws the contract's failure: { tag, val }. */
  handle(plugin, events, config = {}, firstSeq = 1) {
    const { handler } = guest(plugin, this.#imports(plugin));
    handler.init(JSON.stringify(config));
    const { rejected } = handler.handle(batch(events, firstSeq));
    this.rejected.push(...rejected);
  }

  #imports(plugin) {
    const key = (raw) => Buffer.from(raw).toString('hex');
    const { state, rows, lines, messages, requests, answers } = this;
    const set = (raw, value) => state.set(key(raw), value);
    return {
      log: {
        log: (level, message) => lines.push(`${level}: ${message}`),
        count() {},
      },
      outbox: {
        enqueue: (message) => messages.push({ ...message, body: text(message.body) }),
        isGranted: () => true,
      },
      http: plugin.http && {
        fetch(request) {
          requests.push({ ...request, body: text(request.body) });
          const answer = answers.shift();
          if (!answer) throw { tag: 'timeout' };
          const { status = 200, headers = [], body = '' } = answer;
          return { status, headers, body: new TextEncoder().encode(body) };
        },
        isGranted: () => true,
      },
      output: {
        emit(table, seqs, columns) {
          seqs.forEach((seq, i) => {
            const values = columns.map((column) => [column.name, value(column, i)]);
            rows.push({ table, seq, ...Object.fromEntries(values) });
          });
        },
      },
      state: {
        get: (raw) => state.get(key(raw)),
        getMany: (keys) => keys.map((raw) => state.get(key(raw))),
        set,
        setMany: (items) => items.forEach(([raw, value]) => set(raw, value)),
        delete: (raw) => state.delete(key(raw)),
        scan(prefix, after, limit) {
          const begins = key(prefix);
          const keys = [...state.keys()].sort().filter((found) => found.startsWith(begins));
          const later = keys.filter((found) => after === undefined || found > key(after));
          return later.slice(0, limit).map((found) => [bytes(`0x${found}`), state.get(found)]);
        },
      },
    };
  }
}

/** Bytes as the text that they are in UTF-8. */
function text(bytes) {
  return new TextDecoder().decode(bytes);
}

/** One value of a column: bytes as `0x` text, all else as it is. */
function value({ data: { tag, val }, nulls }, i) {
  if (nulls.includes(i)) return null;
  const hexadecimal = (part) => `0x${Buffer.from(part).toString('hex')}`;
  switch (tag) {
    case 'fixed':
      return hexadecimal(val[1].subarray(val[0] * i, val[0] * (i + 1)));
    case 'bytes':
      return hexadecimal(val[1].subarray(val[0][i], val[0][i + 1]));
    default:
      return val[i];
  }
}

function batch(events, firstSeq) {
  const packed = (parts) => Uint8Array.from(parts.flatMap((part) => [...bytes(part)]));
  const offsets = (lengths) => {
    let sum = 0;
    return [0, ...lengths.map((length) => (sum += length))];
  };
  return {
    id: 1n,
    attempt: 1,
    phase: 'backfill',
    chainId: 1n,
    finalized: 0n,
    blocks: [{ number: 1n, time: 0n, hash: new Uint8Array(32), parentHash: new Uint8Array() }],
    len: events.length,
    seq: events.map((_, i) => BigInt(firstSeq + i)),
    block: events.map(() => 0),
    txIndex: events.map(() => 0),
    logIndex: events.map((_, i) => i),
    txHash: new Uint8Array(32 * events.length),
    address: packed(events.map((event) => event.address)),
    topicOff: offsets(events.map((event) => event.topics.length)),
    topics: packed(events.flatMap((event) => event.topics)),
    dataOff: offsets(events.map((event) => event.data.length / 2 - 1)),
    data: packed(events.map((event) => event.data)),
    signature: events.map(() => 0xffffffff),
    signatures: [],
    decoded: events.map((event) => (event.args ? JSON.stringify(event.args) : '')),
  };
}
