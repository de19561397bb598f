// Against the server of DATABASE_URL, in which the role may create tasks; it needs nothing but the extension.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addMetadata, assignOptions, awaitResult, cancelExecution, delay, discardAfter, enqueueMany, getExecution,
	reRunExecution, rescheduleExecution } from 'defer-postgres';
import add from './functions/add.js';
import asks from './functions/asks.js';
import bad from './functions/bad.js';
import own from './functions/own.js';
import patient from './functions/patient.js';
import tell from './functions/tell.js';
import write from './functions/write.js';
import slow from './stuck/slow.js';
import { Control } from '../lib/database.js';
import { direct, effects, ended, options, pool, prepare, until, value, worker } from './helper.js';

let main;

before(async () => {
	if (!await prepare())
		return;
	main = worker('functions', ['--concurrency', '2', '--lease', '2']);
	await main.says('2 at once');
}, { timeout: 60000 });

after(async () => {
	await main?.stop();
	await pool?.end();
});

const children = () => value("SELECT count(*)::int FROM defer.jobs WHERE function = 'add'");

test('tasks are declared with their settings', options, async () => {
	assert.equal(await value("SELECT max_attempts || ' ' || max_duration FROM defer.functions WHERE function = 'add'"), '2 00:01:00');
	assert.equal(await value(`SELECT count(*)::int FROM defer.tasks WHERE name = ANY ('{add,alone,asks,bad,late,own,patient,tell,write}')
		AND (schema ->> '$comment')::jsonb ->> 'app' = 'test'`), 9);
});

test('an idle worker waits, and runs no query', direct, async () => {
	await until(`SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'defer-worker' AND state = 'active'
		AND query LIKE 'CALL defer.wait_for_work%' AND backend_xmin IS NULL`);
});

test('statements that were prepared are prepared again in a session that was reset', direct, async () => {
	const control = new Control('test', true);
	const prepared = 'SELECT count(*)::int AS n FROM pg_prepared_statements';

	for (let i = 0; i < 2; i++)
		assert.equal((await control.query(prepared)).rows[0].n, 1);
	await control.query('DEALLOCATE ALL');
	assert.equal((await control.query(prepared)).rows[0].n, 1);
	await control.end();
});

test('a call enqueues, the worker runs it, and the result comes back', options, async () => {
	assert.deepEqual(await awaitResult(add)(1, 41), { sum: 42 });
	const { id } = await add(1, 1);
	const job = await ended(id, 'succeeded');

	assert.deepEqual(job.args, [1, 1]);
	assert.deepEqual(job.result, { sum: 2 });
	await ended((await reRunExecution(id)).id, 'succeeded');
	await assert.rejects(getExecution('999999999'), /there is no job/);
});

test('called by SQL, with arguments by name', options, async () => {
	const id = await value("SELECT defer.enqueue('alone', '{\"x\": 4}')");

	assert.deepEqual((await ended((await ended(id, 'succeeded')).result, 'succeeded')).result, { sum: 8 });
});

test('options of a call', options, async () => {
	const { id } = await assignOptions(addMetadata(delay(add, '1 hour'), { user: 7 }), { priority: 5, key: 'k', groupKey: 'g' })(1, 2);
	const job = await getExecution(id);

	assert.equal(job.state, 'scheduled');
	assert.deepEqual(job.metadata, { user: 7 });
	assert.deepEqual((await assignOptions(add, { key: 'k' })(3, 4)).id, id);
	assert.equal(await rescheduleExecution(id, '2 hours'), true);
	assert.equal(await rescheduleExecution(id, new Date('2100-01-01T00:00:00Z')), true);
	assert.equal((await getExecution(id)).runAt.toISOString(), '2100-01-01T00:00:00.000Z');
	assert.equal(await cancelExecution(id), true);
	await ended(id, 'cancelled');
	const gone = await discardAfter(delay(add, new Date('2100-01-01T00:00:00Z')), new Date('2100-01-02T00:00:00Z'))(1, 2);

	assert.equal(await value("SELECT discard_at = '2100-01-02 00:00Z' FROM defer.jobs WHERE id = $1", [gone.id]), true);
	await cancelExecution(gone.id);
});

test('in a transaction of the application', options, async () => {
	const client = await pool.connect();

	await client.query('BEGIN');
	const { id } = await assignOptions(add, { client })(1, 2);

	await client.query('ROLLBACK');
	client.release();
	await assert.rejects(getExecution(id), /there is no job/);
});

test('many at once', options, async () => {
	const jobs = await enqueueMany(addMetadata(add, { many: true }), Array.from({ length: 300 }, (_, i) => [i, 1]));

	assert.equal(jobs.length, 300);
	await until(`SELECT count(*) = 300 FROM defer.jobs WHERE id = ANY ($1)
		AND state = 'succeeded' AND result['sum']::int = args[0]::int + 1`, [jobs.map(({ id }) => id)]);
});

test('what a handler writes and enqueues is committed with the end of its job', options, async () => {
	const before = await children();
	const { id } = await write('once');

	assert.equal((await ended(id, 'succeeded')).result, 1);
	assert.equal(await effects(id), 1);
	assert.equal(await children(), before + 1);
	assert.equal(await value('SELECT count(*)::int FROM defer.jobs WHERE parent_id = $1', [id]), 1);
	const again = await write('again', 'fail');

	assert.equal((await ended(again.id, 'succeeded')).result, 2);
	assert.equal(await effects(again.id), 1);
	assert.equal(await children(), before + 2);
	assert.equal(await value('SELECT message FROM defer.attempts WHERE job_id = $1', [again.id]), 'fails once');
});

test('errors that a handler throws on purpose', options, async () => {
	const never = await write('never', 'for good');

	assert.equal((await ended(never.id, 'failed')).attempt, 1);
	assert.equal(await effects(never.id), 0);
	const released = await addMetadata(write, { a: 1 })('released', 'later');

	assert.equal((await ended(released.id, 'succeeded')).attempt, 1);
	assert.equal(await effects(released.id), 1);
});

test('an error of the transaction that a handler catches is the error of the attempt', options, async () => {
	const { id } = await write('caught', 'caught');
	const job = await ended(id, 'failed');

	assert.equal(job.error, 'division by zero');
	assert.equal(job.sqlstate, '22012');
	assert.equal(await effects(id), 0);
});

test('a handler does not end the transaction of its job, but has savepoints', options, async () => {
	const { id } = await write('commit', 'commit');

	assert.match((await ended(id, 'failed')).error, /ends with the job/);
	assert.equal(await effects(id), 0);
	const saved = await write('savepoint', 'savepoint');

	await ended(saved.id, 'succeeded');
	assert.equal(await effects(saved.id), 1);
});

test('complete in the transaction of the handler', options, async () => {
	const { id } = await own('commit');

	assert.deepEqual((await ended(id, 'succeeded')).result, { how: 'commit' });
	assert.equal(await effects(id), 1);
	const thrown = await own('commit and throw');

	await ended(thrown.id, 'succeeded');
	assert.equal(await effects(thrown.id), 1);
	const forgotten = await own('forget');

	assert.match((await ended(forgotten.id, 'failed')).error, /was not committed/);
	assert.equal(await effects(forgotten.id), 0);
});

test('logs, progress, and results that are none', options, async () => {
	const { id } = await tell();
	const job = await ended(id, 'failed');

	assert.equal(job.sqlstate, '22P05');
	assert.equal(await value("SELECT string_agg(message, '; ' ORDER BY at, message) FROM defer.logs WHERE job_id = $1", [id]),
		'begins; warning: of the second kind');
	assert.match((await ended((await bad()).id, 'failed')).error, /BigInt/);
});

test('handlers that wait for other jobs leave their place', options, async () => {
	// more of them than there are places
	assert.equal(await awaitResult(asks)(4), 42);
	await assert.rejects(awaitResult(bad)(), (error) => error.state === 'failed' && /BigInt/.test(error.message));
	await assert.rejects(awaitResult(delay(add, '1 hour'), { timeout: 50 })(1, 2), { code: 'DF012' });
});

test('one connection waits for all jobs', direct, async () => {
	const late = awaitResult(delay(add, '1 hour'))(1, 2).catch((error) => error);

	await until(`SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'defer-await'
		AND query LIKE 'CALL defer.await_any%' AND state = 'active'`);
	assert.deepEqual(await awaitResult(add)(3, 4), { sum: 7 });
	await cancelExecution(await value("SELECT max(id) FROM defer.jobs WHERE function = 'add' AND state = 'scheduled'"));
	assert.equal((await late).state, 'cancelled');
});

test('a job that is cancelled tells its handler, and leaves nothing', options, async () => {
	const { id } = await patient();

	await until("SELECT state = 'running' FROM defer.jobs WHERE id = $1", [id]);
	assert.equal(await cancelExecution(id, true), true);
	await ended(id, 'cancelled');
	assert.equal(await effects(id), 0);
});

test('connections that break, and a server that ends sessions', direct, async () => {
	const { id } = await patient();

	await until("SELECT state = 'running' AND progress = 0.5 FROM defer.jobs WHERE id = $1", [id]);
	await value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'defer-worker'");
	assert.deepEqual(await awaitResult(add)(2, 2), { sum: 4 });
	await cancelExecution(id, true);
	await ended(id, 'cancelled');
});

test('SIGTERM lets jobs end, or gives them back', options, async () => {
	const gentle = worker('stuck', ['--grace', '60']);
	await gentle.says('at once');
	const { id } = await slow(500);

	await until("SELECT state = 'running' FROM defer.jobs WHERE id = $1", [id]);
	assert.deepEqual(await gentle.stop(), [0, null], gentle.output());
	await ended(id, 'succeeded');
	const hasty = worker('stuck', ['--grace', '0']);
	await hasty.says('at once');
	const held = await slow(3600000);

	await until("SELECT state = 'running' FROM defer.jobs WHERE id = $1", [held.id]);
	assert.deepEqual(await hasty.stop(), [0, null], hasty.output());
	assert.equal(await value("SELECT state || ' ' || attempt FROM defer.jobs WHERE id = $1", [held.id]), 'queued 0');
	assert.equal(await effects(held.id), 0);
	await cancelExecution(held.id);
});

test('files with other names than their functions are an error', options, async () => {
	const wrong = worker('misnamed');

	assert.deepEqual(await wrong.end(), [1, null]);
	assert.match(wrong.output(), /empty\.js: the default export is not a background function/);
	assert.match(wrong.output(), /wrong\.js: the file is named wrong, and the function right/);
	assert.deepEqual(await worker('nowhere').end(), [1, null]);
	assert.deepEqual(await worker('functions', ['--concurrency', '0']).end(), [2, null]);
	assert.deepEqual(await worker('functions', ['--fast']).end(), [2, null]);
});

