// When to look for jobs.

/** Waits until there may be work, by looking again: soon at first, and every second when there is none for long. */
export class Waiter {
	#pause = 20;
	#wake = () => {};

	/** There was work: look again soon. */
	busy() {
		this.#pause = 20;
	}

	async wait() {
		await new Promise((resolve) => {
			const timer = setTimeout(resolve, this.#pause);

			this.#wake = () => { clearTimeout(timer); resolve(); };
		});
		this.#pause = Math.min(this.#pause * 1.5, 1000);
	}

	/** Have wait() return at once. */
	wake() {
		this.#wake();
	}

	async end() {
		this.wake();
	}
}
