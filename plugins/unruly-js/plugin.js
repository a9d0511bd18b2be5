// Misbehaves as its configuration tells it; for tests of the host.

import { Halt, Retry } from './sdk/js/index.js';

const misdeeds = {
  none() {},
  // Everything that could tell one run from another.
  senses(host, batch) {
    const [event] = batch.events;
    const random = crypto.getRandomValues(new Uint8Array(8)).join('.');
    const text = [Date.now(), performance.now(), Math.random(), random].join(' ');
    host.emit('senses', event, { text });
  },
  throws() {
    const nothing = undefined;
    nothing.of.it();
  },
  later: () => { throw new Retry('come again', 5); },
  stop: () => { throw new Halt('enough'); },
  fetches: () => fetch('http://127.0.0.1:1/'),
  waits: () => setTimeout(() => {}, 1),
  loops() { for (;;); },
  recurses() { return 1 + misdeeds.recurses(); },
  hoards() { for (const all = []; ;) all.push(new Uint8Array(1 << 20).fill(1)); },
  column: (host, batch) => host.emit('senses', [...batch.events][0], { txt: '' }),
  number: (host, batch) => host.emit('numbers', [...batch.events][0], { n: 'many' }),
  aside: (host, batch) => host.setAside([...batch.events][0], 'an odd one'),
  prints() { console.log('printed'); console.error('printed too'); },
};

/** @type {import('./sdk/js/index.js').Plugin} */
export default {
  name: 'unruly-js',
  version: '0.1.0',
  events: ['Transfer(address,address,uint256)'],
  tables: { senses: { columns: { text: 'text' } }, numbers: { columns: { n: 'uint64' } } },
  init({ misdeed = 'none' }) {
    if (!misdeeds[misdeed]) throw new Error(`no misdeed ${misdeed}`);
  },
  handle: (host, batch, { misdeed = 'none' }) => misdeeds[misdeed](host, batch),
};
