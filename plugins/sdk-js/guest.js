// Ties a plugin to the contract: what it says of itself, and one batch.

import { Batch } from './events.js';
import { Reject, failure, told } from './failures.js';
import { Host } from './host.js';

/** Returns the component's exports for a plugin. */
export function guest(plugin, imports) {
  let config = {};
  return {
    meta: { describe: () => descriptor(plugin) },
    handler: {
      init(text) {
        config = JSON.parse(text || '{}');
        try {
          plugin.init?.(config, new Host(plugin, imports));
        } catch (error) {
          // Text that is thrown is what the contract returns; an Error would end the guest.
          throw error?.constructor === Error ? error.message : told(error);
        }
      },
      handle(columns) {
        try {
          const host = new Host(plugin, imports);
          const promise = plugin.handle(host, new Batch(columns), config);
          // There is nothing in the sandbox to wait for, and what comes later would be lost.
          promise?.then?.(undefined, () => {});
          if (promise?.then) throw new Reject('`handle` must not be async: nothing waits for it');
          return { rejected: host.finish() };
        } catch (error) {
          throw failure(error);
        }
      },
    },
  };
}

/** What the plugin says of itself, as the contract wants it. */
export function descriptor(plugin) {
  const shorthand = { events: plugin.events ?? [], decode: plugin.decode };
  const subscriptions = plugin.subscriptions ?? [shorthand];
  return {
    name: plugin.name,
    version: plugin.version,
    logicVersion: plugin.logicVersion ?? 1,
    visibility: plugin.visibility ?? 'latest',
    subscriptions: subscriptions.map((wanted) => ({
      chains: (wanted.chains ?? []).map(BigInt),
      addresses: wanted.addresses ?? [],
      events: wanted.events ?? [],
      topics: wanted.topics ?? [],
      startBlock: wanted.startBlock === undefined ? undefined : BigInt(wanted.startBlock),
      decode: wanted.decode ?? false,
    })),
    tables: Object.entries(plugin.tables ?? {}).map(([name, table]) => ({
      name,
      columns: Object.entries(table.columns).map(([column, type]) => ({
        name: column,
        ty: type.replace('?', ''),
        nullable: type.endsWith('?'),
      })),
      key: table.key ?? [],
    })),
  };
}
