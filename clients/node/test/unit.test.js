// Without a server: what is refused when it is written, and how files are found.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignOptions, awaitResult, currentJob, defer, delay, enqueueMany, trigger } from 'defer-postgres';
import { callParameters, namedCall, settingParameters } from '../lib/options.js';
import { logger } from '../lib/log.js';
import { connectionLost } from '../lib/errors.js';

const greet = async (name) => `hello ${name}`;
const now = async () => {};

test('a background function has a name, and known options', () => {
	assert.throws(() => defer(async () => {}), /has a name/);
	assert.throws(() => defer('greet'), /takes a function/);
	assert.throws(() => defer(greet, { retries: 3 }), /no option "retries": there are concurrency/);
	assert.throws(() => defer(greet, { retry: { attempts: 3 } }), /retry has no option "attempts"/);
	assert.equal(defer(greet).name, 'greet');
	assert.equal(defer(async () => {}, { name: 'other' }).name, 'other');
});

test('a scheduled function takes no arguments and is not called', async () => {
	assert.throws(() => defer.cron(greet, '0 8 * * 1'), /takes no arguments, but "greet" has 1/);
	assert.throws(() => defer.cron(now), /is a text/);
	assert.throws(() => defer.cron(now, '0 8 * * 1', { zone: 'UTC' }), /no option "zone"/);
	await assert.rejects(defer.cron(now, '0 8 * * 1')(), /is run by its schedule: use trigger\(\)/);
	await assert.rejects(awaitResult(defer.cron(now, '0 8 * * 1'))(), /is run by its schedule/);
	await assert.rejects(enqueueMany(defer.cron(now, '0 8 * * 1'), [[]]), /is run by its schedule/);
	await assert.rejects(trigger(defer(greet)), /has no schedule/);
});

test('options of calls', async () => {
	assert.throws(() => assignOptions(greet, {}), /not a background function/);
	assert.throws(() => assignOptions(defer(greet), { later: 1 }), /no option "later"/);
	assert.throws(() => currentJob(), /does not run in a job/);
	await assert.rejects(defer(greet)(1n), /arguments of "greet" are not JSON/);
	assert.deepEqual(assignOptions(delay(defer(greet), '1 hour'), { key: 'k' }).options, { delay: '1 hour', key: 'k' });
	assert.deepEqual(settingParameters({ retry: false, maxDuration: 60 }),
		[['max_attempts', 'integer', 1], ['max_duration', 'interval', '60 seconds']]);
	assert.deepEqual(settingParameters({ retry: 5 }), [['max_attempts', 'integer', 5]]);
	assert.deepEqual(settingParameters({ retry: true }), []);
	const at = new Date('2100-01-01T00:00:00Z');
	const [sql, values] = namedCall('f', [['text', 'a']], callParameters({ delay: at, discardAfter: at, metadata: { b: 1 } }));

	assert.match(sql, /^f\(\$1::pg_catalog\.text, metadata => \$2::pg_catalog\.jsonb, run_at => \$3::pg_catalog\.timestamptz, discard_after => \$4/);
	assert.deepEqual(values, ['a', '{"b":1}', at, at]);
});

test('errors of connections, and of statements', () => {
	assert.ok(connectionLost({ code: 'ECONNREFUSED' }));
	assert.ok(connectionLost({ code: '57P01' }));
	assert.ok(connectionLost(new Error('Connection terminated unexpectedly')));
	assert.ok(!connectionLost({ code: 'DF030', message: 'Connection terminated' }));
	assert.ok(!connectionLost(new Error('of a handler')));
});

test('log levels', () => {
	const lines = [];
	const log = logger('warn', (line) => lines.push(line));

	log.info('no');
	log.error('two\nlines');
	assert.equal(lines.length, 1);
	assert.match(lines[0], / error two \| lines$/);
	assert.throws(() => logger('loud'), /debug, info, warn, error/);
});
