// node --import defer-postgres/register: imports without an ending, and TypeScript, as the worker has them.
import module from 'node:module';
import * as hooks from './hooks.js';

if (module.registerHooks)
	module.registerHooks(hooks);
else
	module.register('./hooks.js', import.meta.url);
