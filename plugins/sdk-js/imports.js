// What every component imports; the imports exist in the sandbox only.

import * as log from 'headcount:plugin/log@0.1.0';
import * as outbox from 'headcount:plugin/outbox@0.1.0';
import * as output from 'headcount:plugin/output@0.1.0';
import * as state from 'headcount:plugin/state@0.1.0';

// The runtime has these and nothing stands behind them; a call would end the guest without a reason.
const refuse = (why) => () => {
  throw new Error(why);
};
globalThis.fetch = refuse('the sandbox has no network');
globalThis.setTimeout = refuse('nothing waits for a timer in the sandbox');
globalThis.setInterval = globalThis.setTimeout;

export const imports = { log, outbox, output, state };
