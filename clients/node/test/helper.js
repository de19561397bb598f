// Workers as processes, and conditions to wait for.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { getExecution } from 'defer-postgres';
import pg from 'pg';

const url = process.env.DATABASE_URL;

export const options = url ? {} : { skip: 'no DATABASE_URL' };
// Of sessions of its own: not through a pooler in transaction mode
export const direct = process.env.DEFER_WORKER_POLL ? { skip: 'through a pooler' } : options;
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
export const pool = url && new pg.Pool({ connectionString: url, allowExitOnIdle: true });

/** The first value of the first row, or undefined. */
export async function value(sql, values) {
	const { rows } = await pool.query({ text: sql, values, rowMode: 'array' });

	return rows[0]?.[0];
}

/** Wait until the query's value is true. */
export async function until(sql, values) {
	for (const end = Date.now() + 60000; ;) {
		if (await value(sql, values) === true)
			return;
		if (Date.now() > end)
			throw new Error(`not in a minute: ${sql}`);
		await new Promise((resolve) => { setTimeout(resolve, 20); });
	}
}

/** { process, output(), says(text), end() → [status, signal] } */
export function worker(folder, args = [], env = {}) {
	// through a pooler in transaction mode
	if (process.env.DEFER_WORKER_POLL)
		args = [...args, '--poll'];
	const child = spawn(process.execPath, [path('../bin/defer-worker.js'), path(folder), '--app', 'test', ...args],
		{ env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
	const exit = once(child, 'close');
	let output = '';

	child.stdout.on('data', (data) => { output += data; });
	child.stderr.on('data', (data) => { output += data; });
	return {
		process: child,
		output: () => output,
		end: () => exit,
		stop: async () => { child.kill('SIGTERM'); return exit; },
		says: async (text) => {
			for (const end = Date.now() + 60000; !output.includes(text);) {
				if (Date.now() > end || child.exitCode !== null)
					throw new Error(`the worker does not say "${text}", but: ${output}`);
				await new Promise((resolve) => { setTimeout(resolve, 20); });
			}
		},
	};
}

/** A table for effects; false: there is no database. */
export async function prepare() {
	await pool?.query('CREATE TABLE IF NOT EXISTS effect (job bigint, what text)');
	return Boolean(pool);
}

/** The job, when it has ended so. */
export async function ended(id, state) {
	await until('SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $1', [id]);
	const job = await getExecution(id);

	assert.equal(job.state, state, job.error);
	return job;
}

export const effects = (id) => value('SELECT count(*)::int FROM effect WHERE job = $1', [id]);
