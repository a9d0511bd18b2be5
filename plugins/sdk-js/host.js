// What a plugin may do while it handles a batch.

import { Reject } from './failures.js';
import { isBytes } from './index.js';
import { Rows } from './rows.js';

/** Rows of a table that are held before they are handed over. */
const ROWS_HELD = 10_000;
const encoder = new TextEncoder();

/** Keys and values are Uint8Array, or text, which is stored as UTF-8. */
export class Host {
  #imports;
  #tables;
  #rejected = [];

  /** @param {object} imports `log`, `output` and `state` of the contract. */
  constructor(plugin, imports) {
    this.#imports = imports;
    const tables = Object.entries(plugin.tables);
    this.#tables = new Map(tables.map(([name, table]) => [name, new Rows(name, table)]));
  }

  /** Emits a row that derives from `event`: values by column name. Addresses, hashes and bytes are
   * Uint8Array or `0x` text; a bignum is a BigInt, decimal text or a word; json is any value. */
  emit(table, event, row) {
    const rows = this.#tables.get(table);
    if (!rows) throw new TypeError(`table ${table} is not declared`);
    rows.add(event, row);
    if (rows.seqs.length >= ROWS_HELD) this.#flush(rows);
  }

  /** Sets one event aside; what else was made of it stays. */
  setAside(event, reason) {
    this.#rejected.push({ seq: event.seq, reason: String(reason) });
  }

  /** Returns the value of a key as bytes, or undefined. */
  get(key) {
    return this.#imports.state.get(raw(key)) ?? undefined;
  }

  /** Returns the values of many keys; one call is much cheaper than many. */
  getMany(keys) {
    const values = this.#imports.state.getMany(keys.map(raw));
    return Array.from(values, (value) => value ?? undefined);
  }

  set(key, value) {
    granted(() => this.#imports.state.set(raw(key), raw(value)));
  }

  /** Sets many: pairs of key and value. */
  setMany(items) {
    const pairs = Array.from(items, ([key, value]) => [raw(key), raw(value)]);
    granted(() => this.#imports.state.setMany(pairs));
  }

  delete(key) {
    this.#imports.state.delete(raw(key));
  }

  /** Returns pairs in order of key, at most 1000, strictly after `after`. */
  scan(prefix, after = undefined, limit = 1000) {
    const from = after === undefined ? undefined : raw(after);
    return this.#imports.state.scan(raw(prefix), from, limit);
  }

  /** Logs a line. */
  log(message, level = 'info', fields = {}) {
    const pairs = Object.entries(fields).map(([name, value]) => [name, String(value)]);
    this.#imports.log.log(level, String(message), pairs);
  }

  /** Adds to a metric. */
  count(metric, delta = 1) {
    this.#imports.log.count(metric, BigInt(delta));
  }

  /** Hands over what is held. Returns the events that were set aside. */
  finish() {
    for (const rows of this.#tables.values()) {
      if (rows.seqs.length > 0) this.#flush(rows);
    }
    return this.#rejected;
  }

  #flush(rows) {
    const { seqs, columns } = rows.take();
    granted(() => this.#imports.output.emit(rows.name, seqs, columns));
  }
}

function raw(value) {
  return isBytes(value) ? value : encoder.encode(String(value));
}

/** A refusal of the host is the batch's end, in its own words. */
function granted(call) {
  try {
    call();
  } catch (error) {
    const refusal = error?.payload ?? error;
    if (refusal?.tag === 'unknown-seq') throw new Reject(`no event ${refusal.val} in the batch`);
    throw refusal?.tag ? new Reject(refusal.val) : error;
  }
}
