// With npm's package typescript: the types, and files that the worker compiles where Node.js does not run them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { defer } from 'defer-postgres';
import { ended, options, pool, prepare, value, worker } from './helper.js';

const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
const there = existsSync(tsc) ? {} : { skip: 'no typescript in node_modules' };

before(prepare);
after(() => pool?.end());

test('the types say what there is', there, () => {
	const project = fileURLToPath(new URL('typescript', import.meta.url));

	try {
		execFileSync(process.execPath, [tsc, '--project', project], { encoding: 'utf8' });
	} catch (error) {
		assert.fail(error.stdout);
	}
});

test('a file in TypeScript runs as it stands', { ...there, ...options }, async () => {
	const typed = defer(async () => {}, { name: 'typed' });
	const declare = worker('typescript', ['--once']);

	assert.deepEqual(await declare.end(), [0, null], declare.output());
	const { id } = await typed({ id: 21 }, 'double');
	const once = worker('typescript', ['--once']);

	assert.deepEqual(await once.end(), [0, null], once.output());
	assert.equal((await ended(id, 'succeeded')).result, 42);
	assert.equal(await value('SELECT message FROM defer.logs WHERE job_id = $1', [id]), 'user 21');
});
