import { currentJob, defer } from 'defer-postgres';

const tell = async () => {
	const job = currentJob();

	job.log('begins');
	job.log.warn('of the second kind');
	job.progress(0.5);
	return '\0';
};

export default defer(tell, { retry: false });
