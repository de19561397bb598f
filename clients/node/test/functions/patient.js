// Ends when it is told to
import { once } from 'node:events';
import { currentJob, defer } from 'defer-postgres';

const patient = async () => {
	const { signal, client, progress } = currentJob();

	await (await client()).query('INSERT INTO effect VALUES ($1, $2)', [currentJob().id, 'patient']);
	progress(0.5);
	if (!signal.aborted)
		await once(signal, 'abort');
	throw signal.reason;
};

export default defer(patient, { retry: false });
