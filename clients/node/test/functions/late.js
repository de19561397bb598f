// The process does nothing else meanwhile, so that the lease is lost: what was written cannot be committed
import { currentJob, defer } from 'defer-postgres';

const late = async (ms) => {
	const job = currentJob();

	await (await job.client()).query('INSERT INTO effect VALUES ($1, $2)', [job.id, 'late']);
	if (job.attempt === 1)
		Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
	return job.attempt;
};

export default defer(late, { retry: { maxAttempts: 3, initialInterval: 0 } });
