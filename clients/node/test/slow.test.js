// As worker.test.js: what takes longer, as leases have to run out and workers to start.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import late from './functions/late.js';
import poison from './stuck/poison.js';
import { effects, ended, options, pool, prepare, value, worker } from './helper.js';

before(prepare);
after(() => pool?.end());

test('a worker that has lost its lease cannot commit', options, async () => {
	const busy = worker('functions', ['--lease', '1']);

	await busy.says('at once');
	const { id } = await late(4000);

	assert.equal((await ended(id, 'succeeded')).result, 2);
	assert.equal(await effects(id), 1);
	assert.equal(await value('SELECT outcome FROM defer.attempts WHERE job_id = $1', [id]), 'lost');
	await busy.says('lost: ');
	await busy.stop();
});

test('a job that kills each worker fails after its attempts', options, async () => {
	const { id } = await poison();

	for (let i = 0; i < 2; i++) {
		const dying = worker('stuck', ['--lease', '1']);

		assert.deepEqual(await dying.end(), [null, 'SIGKILL'], dying.output());
	}
	const job = await ended(id, 'failed');

	assert.equal(job.attempt, 2);
	assert.equal(await effects(id), 0);
	const next = worker('stuck', ['--once']);

	assert.deepEqual(await next.end(), [0, null], next.output());
});

test('schedules are made, changed and removed as the code says', options, async () => {
	const deploy = async (weekly, ...args) => {
		const one = worker('scheduled', ['--once', ...args], { WEEKLY: weekly });

		assert.deepEqual(await one.end(), [0, null], one.output());
		return one.output();
	};
	const schedule = () => value("SELECT schedule || ' ' || timezone FROM defer.schedules WHERE name = 'weekly'");
	const attempts = () => value("SELECT max_attempts FROM defer.functions WHERE function = 'weekly'");

	await deploy('0 8 * * 1', '--version', '1');
	assert.equal(await schedule(), '0 8 * * 1 Europe/Paris');
	assert.equal(await attempts(), 4);
	// what an operator changes stays, until the code changes
	await value("SELECT defer.alter_cron('weekly', schedule => '0 9 * * 1')");
	assert.doesNotMatch(await deploy('0 8 * * 1', '--version', '2'), /schedule weekly/);
	assert.equal(await schedule(), '0 9 * * 1 Europe/Paris');
	assert.match(await deploy('0 7 * * 1', '--version', '1'), /later than this one/);
	assert.equal(await schedule(), '0 9 * * 1 Europe/Paris');
	await deploy('0 7 * * 1', '--version', '3');
	assert.equal(await schedule(), '0 7 * * 1 Europe/Paris');
	const run = await value("SELECT defer.trigger('weekly')");

	await deploy('0 7 * * 1', '--version', '3');
	assert.equal((await ended(run, 'succeeded')).result, 'ran');
	assert.match(await deploy('', '--version', '4'), /no file declares it any more/);
	assert.equal(await schedule(), '0 7 * * 1 Europe/Paris');
	assert.equal(await attempts(), null);
	await deploy('', '--version', '4', '--prune');
	assert.equal(await schedule(), undefined);
	// another application's are left alone, and its tasks are an error
	const other = worker('scheduled', ['--app', 'another']);

	assert.deepEqual(await other.end(), [1, null]);
	assert.match(other.output(), /is declared by the application "test"/);
});
