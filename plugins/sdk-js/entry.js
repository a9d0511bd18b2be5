// What the component of a plugin is made of.

import plugin from '../../plugin.js';
import { guest } from './guest.js';
import { imports } from './imports.js';

export const { meta, handler } = guest(plugin, imports);
