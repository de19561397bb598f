// Look at jobs, control them, and wait for their end.
import { applicationPool, ownClient } from './database.js';
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

// All jobs that this process waits for. One connection waits for all of them, by defer.await_any(); a job that comes
// later has it begin anew. Where that cannot be, as behind a pooler, they are looked at now and then.
const waiting = new Map();
const MOST = 10000;			// of one call of await_any
const WAIT_SECONDS = 30;	// of one call
const LOOK = `SELECT id, state, result, error, sqlstate FROM defer.jobs
	WHERE id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) AND state OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[])`;
const CANCELED = '57014';
const NO_JOB = '42704';		// its transaction has not committed

let watching = false;
let waiter = null;			// the client that waits, or false: there cannot be one
let waits = false;
let interrupting = false;

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function connectWaiter() {
	const client = ownClient();

	if (!client)
		return false;
	client.on('error', () => {});
	client.on('end', () => { if (waiter === client) waiter = null; });
	await client.connect();
	const { rows: [{ pid, since }] } = await client.query(`SELECT pid, backend_start::pg_catalog.text AS since
		  FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()`);

	// behind a pooler the session is not ours, and what is to be interrupted may be another's
	if (pid === client.processID) {
		// the server gives the number of a process that has ended to another one
		client.since = since;
		return client;
	}
	await client.end();
	return false;
}

/** Wait until a job has ended, or another one is waited for; or for some milliseconds. */
async function waitForOne(ms) {
	waiter ??= await connectWaiter();
	if (!waiter)
		return pause(ms);
	const client = waiter;

	client.ref?.();
	waits = true;
	try {
		await client.query(`CALL defer.await_any($1::pg_catalog.int8[], '${WAIT_SECONDS} seconds')`, [[...waiting.keys()].slice(0, MOST)]);
	} catch (error) {
		if (error.code === CANCELED)
			return;
		if (error.code === NO_JOB)
			return pause(ms);
		waiter = connectionLost(error) ? null : false;
		client.end().catch(() => {});
		await pause(ms);
	} finally {
		waits = false;
		client.unref?.();
	}
}

/** Have the call that waits begin anew. A cancel that comes before the call does nothing, so it is repeated. */
async function interrupt() {
	if (interrupting || !waits)
		return;
	interrupting = true;
	try {
		for (const client = waiter; waits && client === waiter; await pause(100))
			await applicationPool().query(`SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
				  WHERE pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4
					AND backend_start OPERATOR(pg_catalog.=) $2::pg_catalog.timestamptz`, [client.processID, client.since]);
	} finally {
		interrupting = false;
	}
}

async function watch() {
	let ms = 20;

	watching = true;
	while (waiting.size > 0) {
		try {
			const { rows } = await applicationPool().query(LOOK, [[...waiting.keys()], ENDED]);

			for (const row of rows)
				waiting.get(String(row.id))?.resolve(row);
			ms = rows.length > 0 ? 20 : Math.min(ms * 1.5, 500);
			// those that were resolved leave
			await pause(0);
			if (waiting.size > 0)
				await waitForOne(ms);
		} catch (error) {
			if (!connectionLost(error)) {
				for (const { reject } of waiting.values())
					reject(error);
			}
			await pause(500);
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
	}).finally(() => {
		waiting.delete(id);
		clearTimeout(timer);
		if (waiting.size === 0)
			interrupt().catch(() => {});
	});

	if (!watching)
		watch();
	else
		interrupt().catch(() => {});
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
