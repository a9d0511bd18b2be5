// Every transfer of an ERC-20 token as a row of the table `transfers`.
//
// A plugin is a function of the batch, its configuration and its own state: a fresh one handles every
// batch, and what it writes is committed together with how far it has come, or not at all.

import { address } from './sdk/js/index.js';

/** @type {import('./sdk/js/index.js').Plugin} */
export default {
  name: 'NAME',
  version: '0.1.0',
  events: ['Transfer(address,address,uint256)'],
  tables: {
    transfers: {
      columns: { token: 'address', sender: 'address', receiver: 'address', value: 'bignum' },
    },
  },
  handle(host, batch) {
    for (const event of batch.events) {
      const [, from, to, nft] = event.topics;
      // The transfer of an NFT has a third indexed argument and no data.
      if (!to || nft || event.data.length !== 32) continue;
      const row = { token: event.address, sender: address(from), receiver: address(to) };
      host.emit('transfers', event, { ...row, value: event.data });
    }
  },
};
