// Look at jobs, control them, and wait for their end.
import { applicationPool } from './database.js';
import { storage } from './context.js';
import { DeferError, ExecutionFailed, connectionLost } from './errors.js';
import { enqueueAtOnce, target } from './functions.js';
import { interval } from './options.js';

const COLUMNS = 'id, function, args, state, queue, attempt, max_attempts, result, error, sqlstate, metadata, progress, '
	+ 'run_at, enqueued_at, started_at, finished_at, parent_id';
const ENDED = ['succeeded', 'failed', 'cancelled', 'discarded'];

const camel = (row) => Object.fromEntries(Object.entries(row).map(
	([name, value]) => [name.replace(/_(.)/g, (_, c) => c.toUpperCase()), value]));

/** What defer.jobs says of a job; an error if there is none. */
export async function getExecution(id, { client } = {}) {
	const { rows } = await (client ?? applicationPool()).query(`SELECT ${COLUMNS} FROM defer.jobs WHERE id = $1::pg_catalog.int8`, [id]);

	if (rows.length === 0)
		throw new DeferError(`there is no job ${id}`);
	return camel(rows[0]);
}

const control = (sql) => async (values, client) => Object.values((await (await target(client)).query(sql, values)).rows[0])[0];
const cancel = control('SELECT defer.cancel($1::pg_catalog.int8, $2::pg_catalog.bool)');
const rerun = control('SELECT defer.rerun($1::pg_catalog.int8)');
const reschedule = control('SELECT defer.reschedule($1::pg_catalog.int8, $2::pg_catalog.timestamptz)');
const rescheduleIn = control('SELECT defer.reschedule($1::pg_catalog.int8, '
	+ 'pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $2::pg_catalog.interval)');

/** End a job that waits as cancelled; with force also one that runs. False: it has ended, or runs. */
export const cancelExecution = (id, force = false, { client } = {}) => cancel([id, force], client);

/** Move a job that waits to another time: a Date, an interval from now, or now. False: it runs or has ended. */
export const rescheduleExecution = (id, when = '0', { client } = {}) =>
	when instanceof Date ? reschedule([id, when], client) : rescheduleIn([id, interval(when)], client);

/** A new job with the arguments and options of another. */
export const reRunExecution = async (id, { client } = {}) => ({ id: String(await rerun([id], client)) });

// All jobs that this process waits for are looked at by one statement
const waiting = new Map();
let watching = false;

async function watch() {
	let pause = 20;

	watching = true;
	while (waiting.size > 0) {
		await new Promise((resolve) => { setTimeout(resolve, pause); });
		try {
			const { rows } = await applicationPool().query(
				'SELECT id, state, result, error, sqlstate FROM defer.jobs '
				+ 'WHERE id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) '
				+ 'AND state OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[])', [[...waiting.keys()], ENDED]);

			for (const row of rows)
				waiting.get(String(row.id))?.resolve(row);
			pause = rows.length > 0 ? 20 : Math.min(pause * 1.5, 500);
		} catch (error) {
			if (!connectionLost(error)) {
				for (const { reject } of waiting.values())
					reject(error);
			}
			pause = 500;
		}
	}
	watching = false;
}

async function ended(id, timeout) {
	let timer;
	const end = new Promise((resolve, reject) => {
		waiting.set(id, { resolve, reject });
		if (timeout !== undefined) {
			timer = setTimeout(() => reject(new ExecutionFailed(`job ${id} has not ended in ${timeout} ms`,
				{ id, state: 'unfinished', code: 'DF012' })), timeout);
		}
	}).finally(() => { waiting.delete(id); clearTimeout(timer); });

	if (!watching)
		watch();
	return end;
}

/**
 * The function that enqueues a job, waits for its end, and returns its result, or throws ExecutionFailed. timeout: in
 * milliseconds. In a handler: the job is enqueued at once, and the handler does not count under --concurrency meanwhile.
 */
export function awaitResult(fn, { timeout } = {}) {
	return async (...args) => {
		const job = storage.getStore();
		const { id } = await enqueueAtOnce(fn, args);

		job?.waits(1);
		try {
			const row = await ended(id, timeout);

			if (row.state !== 'succeeded')
				throw new ExecutionFailed(row.error ?? `job ${id} was ${row.state}`, { id, state: row.state, code: row.sqlstate });
			return row.result;
		} finally {
			job?.waits(-1);
		}
	};
}
