// Ends of jobs that have written nothing: those that come while a statement is under way share the next one.
const MOST = 500;

export class Endings {
	#persistent;
	#next = [];
	#running = false;

	/** persistent(text, values): a statement that is repeated while there is no connection */
	constructor(persistent) {
		this.#persistent = persistent;
	}

	/** Resolves when the job has ended; the errors are those of defer.complete(). */
	complete(id, token, result) {
		return new Promise((resolve, reject) => {
			this.#next.push({ id, token, result, resolve, reject });
			if (!this.#running)
				this.#flush();
		});
	}

	async #flush() {
		this.#running = true;
		while (this.#next.length > 0) {
			const jobs = this.#next.splice(0, MOST);

			try {
				await this.#send(jobs);
				jobs.forEach((job) => job.resolve());
			} catch (error) {
				// All or none: the one that it is about is found by itself
				if (jobs.length === 1)
					jobs[0].reject(error);
				else
					await this.#oneByOne(jobs);
			}
		}
		this.#running = false;
	}

	async #oneByOne(jobs) {
		for (const job of jobs) {
			try {
				await this.#send([job]);
				job.resolve();
			} catch (error) {
				job.reject(error);
			}
		}
	}

	#send(jobs) {
		return this.#persistent('SELECT defer.complete_many($1::pg_catalog.int8[], $2::pg_catalog.uuid[], $3::pg_catalog.jsonb[])',
			[jobs.map(({ id }) => id), jobs.map(({ token }) => token), jobs.map(({ result }) => result)]);
	}
}
