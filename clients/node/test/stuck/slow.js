import { setTimeout } from 'node:timers/promises';
import { currentJob, defer } from 'defer-postgres';

const slow = async (ms) => {
	await (await currentJob().client()).query('INSERT INTO effect VALUES ($1, $2)', [currentJob().id, 'slow']);
	await setTimeout(ms);
	return 'done';
};

export default defer(slow, { retry: false });
