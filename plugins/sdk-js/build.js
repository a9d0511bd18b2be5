// Makes the component of the plugin in this folder: `node sdk/js/build.js OUT.wasm`. The API and not
// `jco componentize`, which cannot read the interface from a file.

import { componentize } from '@bytecodealliance/componentize-js';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

const [out] = process.argv.slice(2);
try {
  const { component } = await componentize({
    sourcePath: 'sdk/js/entry.js',
    witPath: 'wit',
    worldName: 'event-handler',
    // The sandbox has no network.
    disableFeatures: ['http', 'fetch-event'],
  });
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, component);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
