// Transfers of ERC-20 tokens from a size on, as rows of the table `transfers`.
//
//     config = { minimum = "1000000" }    # in the token's smallest unit

import { address, uint } from './sdk/js/index.js';

/** @type {import('./sdk/js/index.js').Plugin} */
export default {
  name: 'large-transfers',
  version: '0.1.0',
  events: ['Transfer(address,address,uint256)'],
  tables: {
    transfers: {
      columns: {
        token: 'address', sender: 'address', receiver: 'address', value: 'bignum', tx_hash: 'hash',
      },
    },
  },
  init({ minimum }) {
    if (!/^\d*$/.test(minimum ?? '')) throw new Error(`minimum is no whole number: ${minimum}`);
  },
  handle(host, batch, { minimum = '0' }) {
    const least = BigInt(minimum);
    for (const event of batch.events) {
      const [, from, to, nft] = event.topics;
      // The transfer of an NFT has a third indexed argument and no data.
      if (!to || nft || event.data.length !== 32 || uint(event.data) < least) continue;
      host.emit('transfers', event, {
        token: event.address, sender: address(from), receiver: address(to), value: event.data,
        tx_hash: event.txHash,
      });
    }
  },
};
