// Ends the process that runs it
import { currentJob, defer } from 'defer-postgres';

const poison = async () => {
	await (await currentJob().client()).query('INSERT INTO effect VALUES ($1, $2)', [currentJob().id, 'poison']);
	process.kill(process.pid, 'SIGKILL');
	await new Promise(() => {});
};

export default defer(poison, { retry: { maxAttempts: 2, initialInterval: 0 } });
