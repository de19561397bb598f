// What the handler writes with the job's client, and what it enqueues, is committed with the job's end
import { currentJob, defer, Fail, Release } from 'defer-postgres';
import add from './add.js';

const released = new Set();

const write = async (what, how) => {
	const job = currentJob();
	const client = await job.client();

	await client.query('INSERT INTO effect VALUES ($1, $2)', [job.id, what]);
	await add(1, 2);
	if (how === 'fail' && job.attempt === 1)
		throw new Error('fails once');
	if (how === 'for good')
		throw new Fail('never again', { retry: false });
	if (how === 'later' && !released.has(job.id)) {
		released.add(job.id);
		throw new Release('0.1 s');
	}
	if (how === 'caught')
		await client.query('SELECT 1 / 0').catch(() => {});
	if (how === 'commit')
		await client.query('COMMIT');
	if (how === 'savepoint') {
		await client.query('SAVEPOINT s');
		await client.query('INSERT INTO effect VALUES ($1, $2)', [job.id, what]);
		await client.query('ROLLBACK TO s');
	}
	return job.attempt;
};

export default defer(write, { retry: { maxAttempts: 2, initialInterval: 0 } });
