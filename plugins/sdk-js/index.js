// What a plugin for Headcount is written with: failures to throw, and words and bytes as text.
//
// The logic in `plugin.js` reaches the host only through the `host` it is handed, so that it runs in
// `node --test` against the FakeHost of `fake.js`; `entry.js` ties it to the sandbox.

/**
 * What `plugin.js` exports by default.
 *
 * @typedef {object} Plugin
 * @property {string} name
 * @property {string} version
 * @property {number} [logicVersion] Rises when the same events give other rows (1).
 * @property {'latest' | 'safe' | 'finalized'} [visibility] Which blocks it is handed (latest).
 * @property {string[]} [events] Events of any contract: `Transfer(address,address,uint256)`.
 * @property {boolean} [decode] Whether `event.args` is wanted for these (false).
 * @property {Subscription[]} [subscriptions] In place of `events`, where more has to be said.
 * @property {boolean} [http] Whether it fetches (false). Then it runs only where the operator grants it hosts.
 * @property {Record<string, Table>} [tables]
 * @property {(config: Record<string, string>, host: Host) => void} [init] Throws what is wrong with the
 *   operator's configuration; of the host only `isGranted` and `mayFetch` are of use there.
 * @property {(host: Host, batch: Batch, config: Record<string, string>) => void} handle
 *
 * @typedef {object} Table
 * @property {Record<string, string>} columns Type by name: boolean, int64, uint64, bignum, double,
 *   text, bytes, address, hash, timestamp, json; with `?` behind it where NULL is allowed.
 * @property {string[]} [key] A row replaces the one with the same key; without, rows are only added.
 *
 * @typedef {object} Subscription
 * @property {number[]} [chains]
 * @property {string[]} [addresses]
 * @property {string[]} [events]
 * @property {string[][]} [topics] Allowed values of topic 1, 2 and 3.
 * @property {number} [startBlock]
 * @property {boolean} [decode]
 *
 * @typedef {import('./events.js').Batch} Batch
 * @typedef {import('./events.js').Event} Event
 * @typedef {import('./host.js').Host} Host
 */

export { Halt, Reject, Retry } from './failures.js';
export { eventKey } from './host.js';

/** The address in a topic or another word of 32 bytes. */
export function address(word) {
  return word.subarray(12);
}

/** The unsigned integer in a word, as a BigInt. */
export function uint(word) {
  return BigInt(hex(word));
}

/** The signed integer in a word, as a BigInt. */
export function int(word) {
  return BigInt.asIntN(8 * word.length, uint(word));
}

const PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Bytes as `0x` and lower-case digits. */
export function hex(bytes) {
  let text = '0x';
  for (const byte of bytes) text += PAIRS[byte];
  return text;
}

/** Bytes of `0x` and digits. */
export function bytes(text) {
  if (!/^0x([0-9a-f]{2})*$/i.test(text)) throw new TypeError(`not hexadecimal: ${text}`);
  const found = new Uint8Array(text.length / 2 - 1);
  for (let i = 0; i < found.length; i++) {
    found[i] = Number.parseInt(text.slice(2 + 2 * i, 4 + 2 * i), 16);
  }
  return found;
}

/** Whether a value is bytes. Those that the host hands over are of another Uint8Array than this module's. */
export function isBytes(value) {
  return ArrayBuffer.isView(value);
}
