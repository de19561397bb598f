// The handler ends the job in a transaction of its own
import { currentJob, defer } from 'defer-postgres';
import pg from 'pg';

const own = async (how) => {
	const job = currentJob();
	const client = new pg.Client(process.env.DATABASE_URL);

	await client.connect();
	try {
		await client.query('BEGIN');
		await client.query('INSERT INTO effect VALUES ($1, $2)', [job.id, 'own']);
		await job.complete(client, { how });
		if (how === 'commit' || how === 'commit and throw')
			await client.query('COMMIT');
	} finally {
		await client.end();
	}
	if (how === 'commit and throw')
		throw new Error('too late');
};

export default defer(own, { retry: false });
