// What the component of a plugin is made of that fetches.

import * as http from 'headcount:plugin/http@0.1.0';
import plugin from '../../plugin.js';
import { guest } from './guest.js';
import { imports } from './imports.js';

export const { meta, handler } = guest(plugin, { ...imports, http });
