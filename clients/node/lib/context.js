// The job that the running code belongs to. One for the process, also if the package is there twice.
import { AsyncLocalStorage } from 'node:async_hooks';
import { DeferError } from './errors.js';

const key = Symbol.for('defer-postgres.job');

globalThis[key] ??= new AsyncLocalStorage();

export const storage = globalThis[key];

/** The context of the running job, in a handler and what it calls. */
export function currentJob() {
	const job = storage.getStore();

	if (!job)
		throw new DeferError('this code does not run in a job of a worker');
	return job.context;
}
