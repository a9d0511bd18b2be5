// Events as objects, over the columns of a batch. Bytes are views: nothing is copied.

/** A run of whole blocks of one chain, in order. */
export class Batch {
  /** @param {object} columns The batch as the contract has it. */
  constructor(columns) {
    this.columns = columns;
    this.chainId = Number(columns.chainId);
  }

  /** Every event, in order. */
  get events() {
    return eventsOf(this);
  }
}

function* eventsOf(batch) {
  for (let i = 0; i < batch.columns.len; i++) yield new Event(batch, i);
}

/** One event of a batch. */
export class Event {
  constructor(batch, index) {
    this.batch = batch;
    this.index = index;
  }

  /** Delivery number: unique, never used again. A BigInt. */
  get seq() {
    return this.batch.columns.seq[this.index];
  }

  /** Emitting contract, 20 bytes. */
  get address() {
    return this.batch.columns.address.subarray(20 * this.index, 20 * this.index + 20);
  }

  /** Topics, 32 bytes each; the first is the hash of the signature. */
  get topics() {
    const { topicOff, topics } = this.batch.columns;
    const found = [];
    for (let t = topicOff[this.index]; t < topicOff[this.index + 1]; t++) {
      found.push(topics.subarray(32 * t, 32 * t + 32));
    }
    return found;
  }

  /** Arguments that are not indexed, as the ABI packs them. */
  get data() {
    const { dataOff, data } = this.batch.columns;
    return data.subarray(dataOff[this.index], dataOff[this.index + 1]);
  }

  /** Block: number (BigInt), time (BigInt of Unix seconds, or undefined), hash, parentHash. */
  get block() {
    return this.batch.columns.blocks[this.batch.columns.block[this.index]];
  }

  /** Transaction, 32 bytes. */
  get txHash() {
    return this.batch.columns.txHash.subarray(32 * this.index, 32 * this.index + 32);
  }

  get logIndex() {
    return this.batch.columns.logIndex[this.index];
  }

  get txIndex() {
    return this.batch.columns.txIndex[this.index];
  }

  /** Signature such as `Transfer(address,address,uint256)`, or undefined. */
  get signature() {
    return this.batch.columns.signatures[this.batch.columns.signature[this.index]];
  }

  /** Decoded arguments by name, or undefined: with `decode` only, and where the ledger knows them.
   * Integers above 2^53 and all of 256 bit are decimal strings. */
  get args() {
    const text = this.batch.columns.decoded[this.index];
    return text ? JSON.parse(text) : undefined;
  }
}
