// For the faults of node_faults.pl: everything that can happen to a handler, by chance. Each job that succeeds has its
// row in "effect", and its children, once.
import pg from 'pg';
import { currentJob, defer, enqueueMany, Fail, Release } from 'defer-postgres';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 });

pool.on('error', () => {});

const effect = (client, id) => client.query('INSERT INTO effect VALUES ($1)', [id]);

async function own(job, commit) {
	const client = await pool.connect();

	client.on('error', () => {});
	try {
		await client.query('BEGIN');
		await effect(client, job.id);
		await job.complete(client);
		await client.query(commit ? 'COMMIT' : 'ROLLBACK');
		client.release();
	} catch (error) {
		client.release(error);
		throw error;
	}
}

const risky = async (depth = 0) => {
	const job = currentJob();
	const dice = Math.random();

	if (dice < 0.15)
		return own(job, dice > 0.03);
	await effect(await job.client(), job.id);
	if (depth < 1 && dice > 0.9)
		await enqueueMany(risky2, [[depth + 1], [depth + 1]]);
	if (dice < 0.18)
		throw new Error('on purpose');
	if (dice < 0.21)
		throw new Fail('again soon', { retryIn: '0.1 s' });
	if (dice < 0.24)
		throw new Release('0.05 s');
	if (dice < 0.242)
		process.kill(process.pid, 'SIGKILL');
	if (dice < 0.244)
		Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
	if (dice < 0.4)
		await new Promise((resolve) => { setTimeout(resolve, 50); });
	return null;
};
const risky2 = defer(risky, { retry: { maxAttempts: 100, initialInterval: 0 } });

export default risky2;
