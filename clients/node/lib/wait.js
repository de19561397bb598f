// When to look for jobs: defer.wait_for_work() says so, or a clock.
import { connectionLost } from './errors.js';

const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 1000;
const CALL = "CALL defer.wait_for_work($1::pg_catalog.text[], '1 minute', $2::pg_catalog.text[])";
const CALL_TIMEOUT = 90000;

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms).unref(); });

/** Has the server say when there may be work. It expects the session that it wakes to take it, so that is the one that takes. */
export class Waiter {
	#control;
	#values;
	#log;

	constructor(control, tasks, queues, log) {
		this.#control = control;
		this.#values = [tasks, queues ?? null];
		this.#log = log;
	}

	/** Resolves when there may be work, and now and then; never rejects. */
	async wait() {
		try {
			await this.#control.query(CALL, this.#values, CALL_TIMEOUT);
		} catch (error) {
			if (!connectionLost(error))
				this.#log.warn(`wait_for_work: ${error.message}`);
			await pause(500);
		}
	}

	busy() {}
}

/** Looks again: soon at first, and less and less often when there is none. For a pooler, which has no connection to spare. */
export class Clock {
	#pause = FIRST_PAUSE;

	async wait() {
		await pause(this.#pause);
		this.#pause = Math.min(this.#pause * 1.5, LONGEST_PAUSE);
	}

	/** There was work. */
	busy() {
		this.#pause = FIRST_PAUSE;
	}
}
