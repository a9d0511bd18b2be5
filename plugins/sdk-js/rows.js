// Rows into columns, as the contract wants them, by the type that the table declares.

import { bytes, hex, isBytes } from './index.js';

/** Collects the rows of one table. */
export class Rows {
  /** @param {string} name @param {{columns: Record<string, string>}} table */
  constructor(name, table) {
    this.name = name;
    this.columns = Object.entries(table.columns).map(([column, type]) => ({
      name: column,
      type: type.replace('?', ''),
      isNullable: type.endsWith('?'),
      values: [],
    }));
    this.seqs = [];
  }

  /** Adds a row that derives from an event. */
  add(event, row) {
    for (const column of this.columns) {
      const value = row[column.name] ?? null;
      if (value === null && !column.isNullable) {
        throw new TypeError(`column ${column.name} of table ${this.name} has no value`);
      }
      column.values.push(value);
    }
    const known = this.columns.length;
    if (Object.keys(row).length > known) {
      const names = this.columns.map((column) => column.name);
      const other = Object.keys(row).find((name) => !names.includes(name));
      throw new TypeError(`table ${this.name} has no column ${other}`);
    }
    this.seqs.push(event.seq);
  }

  /** Returns the columns, and begins anew. */
  take() {
    const seqs = BigUint64Array.from(this.seqs);
    const columns = this.columns.map((column) => {
      const nulls = [];
      column.values.forEach((value, i) => value === null && nulls.push(i));
      try {
        return { name: column.name, data: packed(column.type, column.values), nulls };
      } catch (error) {
        throw new TypeError(`column ${column.name} of table ${this.name}: ${error.message}`);
      } finally {
        column.values = [];
      }
    });
    this.seqs = [];
    return { seqs, columns };
  }
}

function packed(type, values) {
  switch (type) {
    case 'boolean':
      return { tag: 'boolean', val: values.map(Boolean) };
    case 'int64':
    case 'timestamp':
      return { tag: 'signed', val: values.map(integer) };
    case 'uint64':
      return { tag: 'unsigned', val: values.map(integer) };
    case 'double':
      return { tag: 'double', val: values.map((value) => Number(value ?? 0)) };
    case 'text':
      return { tag: 'text', val: values.map((value) => String(value ?? '')) };
    case 'json':
      return { tag: 'text', val: values.map((value) => JSON.stringify(value)) };
    case 'address':
      return fixed(20, values);
    case 'hash':
      return fixed(32, values);
    case 'bignum':
      return bignum(values);
    case 'bytes':
      return variable(values.map(asBytes));
    default:
      throw new TypeError(`there is no type ${type}`);
  }
}

function integer(value) {
  try {
    return BigInt(value ?? 0);
  } catch {
    throw new TypeError(`${value} is no whole number`);
  }
}

function asBytes(value) {
  if (isBytes(value)) return value;
  return value === null ? new Uint8Array() : bytes(value);
}

function fixed(width, values) {
  const all = new Uint8Array(width * values.length);
  values.forEach((value, i) => {
    const found = asBytes(value);
    if (found.length !== width && value !== null) {
      throw new TypeError(`${hex(found)} has ${found.length} bytes, not ${width}`);
    }
    all.set(found, width * i);
  });
  return { tag: 'fixed', val: [width, all] };
}

/** Words as they are; anything else as decimal text. */
function bignum(values) {
  if (values.every((value) => isBytes(value) && value.length === 32)) {
    return fixed(32, values);
  }
  const decimal = (value) => integer(isBytes(value) ? hex(value) : value).toString();
  return { tag: 'text', val: values.map(decimal) };
}

function variable(values) {
  const offsets = new Uint32Array(values.length + 1);
  values.forEach((value, i) => {
    offsets[i + 1] = offsets[i] + value.length;
  });
  const all = new Uint8Array(offsets[values.length]);
  values.forEach((value, i) => all.set(value, offsets[i]));
  return { tag: 'bytes', val: [offsets, all] };
}
