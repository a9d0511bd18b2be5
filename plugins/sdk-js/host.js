// What a plugin may do while it handles a batch.

import { Halt, Reject, Retry } from './failures.js';
import { hex, isBytes } from './index.js';
import { Rows } from './rows.js';

/** Rows of a table that are held before they are handed over. */
const ROWS_HELD = 10_000;
/** Statuses of a host that is busy or broken; the same request may be answered later. */
const LATER = [408, 425, 429];
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Keys and values are Uint8Array, or text, which is stored as UTF-8. */
export class Host {
  #imports;
  #tables;
  #rejected = [];

  /** @param {object} imports `log`, `outbox`, `output` and `state` of the contract, and `http` where the
   * plugin asks for it. */
  constructor(plugin, imports) {
    this.#imports = imports;
    const tables = Object.entries(plugin.tables ?? {});
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

  /** Enqueues a message to a sink that the operator granted: `{ sink, key, body }`. It is sent after the
   * batch was committed, at least once, unless its block has left the chain before; a key that comes again
   * is dropped. The body is text, bytes, or any other value, which is sent as JSON; `contentType` says what
   * it is. `eventKey(event)` is a key. */
  enqueue({ sink, key, body, contentType = 'application/json' }) {
    const packed = typeof body === 'string' || isBytes(body) ? raw(body) : raw(JSON.stringify(body));
    const message = { sink: String(sink), key: String(key), contentType, body: packed };
    granted(() => this.#imports.outbox.enqueue(message));
  }

  /** Whether the operator lets the plugin send to this sink. */
  isGranted(sink) {
    return this.#imports.outbox.isGranted(sink);
  }

  /** Asks a host that the operator granted, and waits for its answer, whatever its status; needs
   * `http: true` of the plugin. Redirects are not followed. A host that is not granted halts the plugin, one
   * that cannot be reached or is too slow has the batch come again.
   *
   * @param {string} url
   * @param {{method?: string, headers?: Record<string, string>, body?: string | Uint8Array,
   *   timeoutMs?: number}} [options] Without `timeoutMs` it waits as long as the batch has left.
   * @returns {Answer} */
  fetch(url, { method = 'GET', headers = {}, body = '', timeoutMs = 0 } = {}) {
    const { http } = this.#imports;
    if (!http) throw new Halt('a plugin that fetches says so: http: true');
    const request = {
      method,
      url: String(url),
      headers: Object.entries(headers).map(([name, value]) => [name, String(value)]),
      body: raw(body),
      timeoutMs,
    };
    return new Answer(granted(() => http.fetch(request)));
  }

  /** Whether the operator lets the plugin ask this URL. */
  mayFetch(url) {
    return this.#imports.http?.isGranted(url) ?? false;
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

/** What a host answered. */
export class Answer {
  constructor({ status, headers, body }) {
    this.status = status;
    /** Pairs of name and value, in the order in which they came. */
    this.headers = headers;
    /** Bytes. */
    this.body = body;
  }

  /** Whether the status is 2xx. */
  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  /** Returns a header, whatever the case of its name, or undefined. */
  header(name) {
    return this.headers.find(([other]) => other.toLowerCase() === name.toLowerCase())?.[1];
  }

  text() {
    return decoder.decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }

  /** Returns itself where the status is 2xx; else throws `Retry` where it may pass (408, 425, 429, 5xx), and
   * `Reject`. */
  orThrow() {
    if (this.ok) return this;
    const told = `answered ${this.status}`;
    throw LATER.includes(this.status) || this.status >= 500 ? new Retry(told) : new Reject(told);
  }
}

/** Returns a key for an event that is the same whenever the event comes: after a restart, a rebuild, or a
 * reorg that brings its block back. What it says is part of it: an event that a node told wrongly, and that
 * was told before it was refuted, does not stand for the true one in its place. */
export function eventKey(event) {
  const said = digest(event).toString(16).padStart(16, '0');
  return `${hex(event.block.hash)}:${hex(event.txHash)}:${event.logIndex}:${said}`;
}

/** FNV-1a over contract, topics and data. */
function digest({ address, topics, data }) {
  let sum = 0xcbf29ce484222325n;
  for (const part of [address, ...topics, data]) {
    for (const byte of part) sum = BigInt.asUintN(64, (sum ^ BigInt(byte)) * 0x100000001b3n);
  }
  return sum;
}

function raw(value) {
  return isBytes(value) ? value : encoder.encode(String(value));
}

/** A refusal of the host is the batch's end, in its own words. */
function granted(call) {
  try {
    return call();
  } catch (error) {
    const refusal = error?.payload ?? error;
    switch (refusal?.tag) {
      case undefined:
        throw error;
      case 'unknown-seq':
        throw new Reject(`no event ${refusal.val} in the batch`);
      // Only the operator can change that.
      case 'unknown-sink':
      case 'denied':
        throw new Halt(refusal.val);
      case 'timeout':
        throw new Retry('no answer in time');
      case 'network':
        throw new Retry(refusal.val);
      default:
        throw new Reject(refusal.val);
    }
  }
}
