// Misbehaves as its configuration tells it; for tests of the host.

import { Halt, Retry, eventKey } from './sdk/js/index.js';

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
  // Asks a host, and tells a sink what it said.
  asks(host, batch, { url, sink }) {
    const answer = host.fetch(url, { method: 'POST', headers: { 'x-of': 'js' }, body: 'hello' }).orThrow();
    for (const event of batch.events) {
      host.emit('senses', event, { text: answer.text() });
      host.enqueue({ sink, key: eventKey(event), body: { said: answer.text() } });
    }
  },
};

/** @type {import('./sdk/js/index.js').Plugin} */
export default {
  name: 'unruly-js',
  version: '0.1.0',
  http: true,
  events: ['Transfer(address,address,uint256)'],
  tables: { senses: { columns: { text: 'text' } }, numbers: { columns: { n: 'uint64' } } },
  init({ misdeed = 'none', sink, url }, host) {
    if (sink && !host.isGranted(sink)) throw new Error(`sink ${sink} is not granted`);
    if (url?.includes('ftp:') && !host.mayFetch(url)) throw new Error(`${url} is not granted`);
    if (!misdeeds[misdeed]) throw new Error(`no misdeed ${misdeed}`);
  },
  handle: (host, batch, config) => misdeeds[config.misdeed ?? 'none'](host, batch, config),
};
