// Makes the component of the plugin in this folder: `node sdk/js/build.js OUT.wasm`. The API and not
// `jco componentize`, which cannot read the interface from a file.

import { componentize } from '@bytecodealliance/componentize-js';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [out] = process.argv.slice(2);
try {
  // Only what says that it fetches imports that, and needs a grant.
  const { default: plugin } = await import(pathToFileURL(resolve('plugin.js')).href);
  const { component } = await componentize({
    sourcePath: plugin?.http ? 'sdk/js/entry-http.js' : 'sdk/js/entry.js',
    witPath: 'wit',
    worldName: plugin?.http ? 'event-fetcher' : 'event-sender',
    // The sandbox has no network but that.
    disableFeatures: ['http', 'fetch-event'],
  });
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, component);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
