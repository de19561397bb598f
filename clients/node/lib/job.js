// One job that a worker has taken: its context, its transaction, its end.
//
//   taken ── handler ──┬─ nothing written ── complete_many with others ──┐
//                      ├─ ctx.client() ───── complete, COMMIT            ├─ ended
//                      ├─ ctx.complete() ─── the handler's own COMMIT    │
//                      └─ error ──────────── ROLLBACK, fail or release ──┘
//
// The server decides: a job whose lease is lost cannot be ended, and its transaction cannot commit.
import { storage } from './context.js';
import { CANCELLED, Cancelled, connectionLost, DeferError, ENDED, Fail, LeaseLost, LOST, Release } from './errors.js';
import { interval } from './options.js';
import { Session } from './database.js';

// What ends a transaction, or begins one: the worker does that
const OF_TRANSACTIONS = /^[\s;]*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(work\s+|transaction\s+)?to\b)|prepare\s+transaction)\b/i;
const PROGRESS_PAUSE = 500;
const SHUT_DOWN = '57P01';

// PostgreSQL has no NUL in texts
const text = (value) => String(value).replaceAll('\0', '');
const sqlstate = (error) => /^[0-9A-Z]{5}$/.test(error?.code ?? '') && !/^E[A-Z]{4}$/.test(error.code) ? error.code : null;

export class Job {
	#worker;
	#abort = new AbortController();
	#transaction = null;
	#given = false;		// to ctx.complete()
	#logs = [];
	#logging = null;
	#progress = null;
	#progressing = null;
	#deadline;

	/** row: of defer.take(), with seconds_left until the deadline, or null */
	constructor(worker, row) {
		this.#worker = worker;
		this.id = String(row.id);
		this.token = row.token;
		this.row = row;
		this.waiting = 0;
		this.heard = performance.now();		// of the server, about the lease
		if (row.seconds_left !== null && row.seconds_left < 1e6) {
			this.#deadline = setTimeout(() => this.abort(new LeaseLost('the job takes longer than its maxDuration')),
				row.seconds_left * 1000);
		}
		this.context = this.#context();
	}

	#context() {
		const { row } = this;
		const log = (message) => this.#log('', message);

		return {
			id: this.id,
			token: this.token,
			task: row.task,
			attempt: row.attempt,
			maxAttempts: row.max_attempts,
			metadata: row.metadata,
			groupKey: row.group_key,
			deadline: row.deadline,
			signal: this.#abort.signal,
			client: () => this.#client(),
			complete: (client, result) => this.#complete(client, result),
			progress: (fraction) => this.#setProgress(fraction),
			log: Object.assign(log, {
				debug: (message) => this.#worker.log.debug(`job ${this.id}: ${message}`),
				info: log,
				warn: (message) => this.#log('warning: ', message),
				error: (message) => this.#log('error: ', message),
			}),
		};
	}

	/** Tell the handler that it should stop; the reason is an error. */
	abort(reason) {
		if (this.#abort.signal.aborted)
			return;
		this.#abort.abort(reason);
		// nothing can be committed any more: a statement that waits, such as on a connection that was cut, waits for nothing
		if (reason instanceof LeaseLost)
			this.#transaction?.then((client) => client.connection?.stream?.destroy(), () => {});
	}

	/** The handler waits for another job, or does not any more. */
	waits(change) {
		this.waiting += change;
		this.#worker.slotChanged();
	}

	/** Run the handler and end the job; never throws. Returns the word for the worker's log. */
	async run(fn) {
		const { args } = this.row;
		const list = args === null ? [] : Array.isArray(args) ? args : [args];
		let result;

		try {
			try {
				result = await storage.run(this, () => fn(...list));
			} finally {
				clearTimeout(this.#deadline);
				await this.#said();
			}
			return await this.#succeed(result);
		} catch (error) {
			return this.#failed(error);
		}
	}

	// ---- the handler's side

	/** The job's own transaction: begun when it is first asked for, committed with the job's end. */
	async #client() {
		if (this.#given)
			throw new DeferError('ctx.complete() was called: the job has a transaction of yours');
		this.#transaction ??= this.#begin();
		return this.#transaction;
	}

	async #begin() {
		const client = await this.#worker.pool.connect();
		const session = new Session(client);

		try {
			// at once: the job is the parent of what the handler enqueues
			await session.query(`BEGIN; SELECT defer.as_job(${this.#literals(client)})`);
		} catch (error) {
			client.release(error);
			this.#transaction = null;
			throw error;
		}
		// like the client, but its statements wait for each other, and its first error is kept
		return Object.create(client, {
			session: { value: session },
			query: { value: (...args) => this.#query(session, ...args) },
			release: { value: () => {} },
		});
	}

	// The first arguments of all functions for jobs; several statements at once have no parameters
	#literals(client) {
		return `${client.escapeLiteral(this.id)}::pg_catalog.int8, ${client.escapeLiteral(this.token)}::pg_catalog.uuid`;
	}

	async #query(session, ...args) {
		if (OF_TRANSACTIONS.test(args[0]?.text ?? args[0]))
			throw new DeferError('the transaction of ctx.client() ends with the job: for one of your own use ctx.complete()');
		return session.query(...args);
	}

	/** End the job in a transaction of the handler's own. */
	async #complete(client, result = null) {
		if (!client)
			throw new DeferError('ctx.complete(client, result) takes the client of your transaction');
		if (this.#transaction)
			throw new DeferError('the job has a transaction already, that of ctx.client() and of what was enqueued');
		this.#given = true;
		await client.query('SELECT defer.complete($1::pg_catalog.int8, $2::pg_catalog.uuid, $3::pg_catalog.jsonb)',
			[this.id, this.token, JSON.stringify(result)]);
	}

	/** Shown in defer.jobs, at once. */
	#setProgress(fraction) {
		if (!(fraction >= 0 && fraction <= 1))
			throw new DeferError('progress is a number from 0 to 1');
		this.#progress = fraction;
		this.#progressing ??= this.#sendProgress().finally(() => { this.#progressing = null; });
	}

	async #sendProgress() {
		while (this.#progress !== null) {
			const fraction = this.#progress;

			this.#progress = null;
			await this.#tell('SELECT defer.heartbeat($1::pg_catalog.int8, $2::pg_catalog.uuid, $3::pg_catalog.float8)',
				[this.id, this.token, fraction]);
			if (this.#progress !== null)
				await new Promise((resolve) => { setTimeout(resolve, PROGRESS_PAUSE).unref(); });
		}
	}

	/** For defer.logs and the worker's own log; also of an attempt that fails. */
	#log(level, message) {
		this.#worker.log[{ '': 'info', 'warning: ': 'warn', 'error: ': 'error' }[level]](`job ${this.id}: ${message}`);
		this.#logs.push(level + text(message));
		this.#logging ??= this.#sendLogs().finally(() => { this.#logging = null; });
	}

	async #sendLogs() {
		while (this.#logs.length > 0) {
			await this.#tell('SELECT defer.log($1::pg_catalog.int8, $2::pg_catalog.uuid, l.message) '
				+ 'FROM pg_catalog.unnest($3::pg_catalog.text[]) WITH ORDINALITY AS l(message, n) ORDER BY l.n',
			[this.id, this.token, this.#logs.splice(0)]);
		}
	}

	// What is not worth an error of the job
	async #tell(sql, values) {
		try {
			await this.#worker.control.query(sql, values);
		} catch (error) {
			this.#worker.log.debug(`job ${this.id}: ${error.message}`);
		}
	}

	// All of it has been said: after the end of the job it would be an error
	async #said() {
		this.#progress = null;
		await this.#logging;
		await this.#progressing;
	}

	// ---- the end

	async #succeed(result) {
		const value = JSON.stringify(result ?? null);

		if (this.#given)
			return this.#ownCommit();
		if (this.#transaction)
			return this.#commit(await this.#transaction, value);
		await this.#worker.endings.complete(this.id, this.token, value);
		return 'succeeded';
	}

	async #ownCommit() {
		const state = await this.#state();

		if (state !== 'held')
			return state === 'completed' ? 'succeeded' : state;
		throw new DeferError('the transaction of ctx.complete() was not committed');
	}

	async #commit(client, value) {
		const { session } = client;

		// Whatever a handler has caught: the transaction cannot commit
		if (session.error)
			throw session.error;
		try {
			// at once: after an error of the first nothing is committed
			const answers = await session.query(`SELECT defer.complete(${this.#literals(client)}, `
				+ `${client.escapeLiteral(value)}::pg_catalog.jsonb); COMMIT`);

			if (answers.at(-1).command !== 'COMMIT')
				throw new DeferError('the transaction of the job was rolled back');
		} catch (error) {
			// The answer to COMMIT may be lost, and the commit not
			if (!connectionLost(error) || await this.#state() !== 'completed')
				throw error;
			this.#end(error);
			return 'succeeded';
		}
		this.#end();
		return 'succeeded';
	}

	async #state() {
		const { rows } = await this.#worker.persistent('SELECT defer.lease_state($1::pg_catalog.int8, $2::pg_catalog.uuid) AS state',
			[this.id, this.token]);

		return rows[0].state;
	}

	// Give the connection of the transaction back, or close it
	#end(error) {
		const transaction = this.#transaction;

		this.#transaction = null;
		transaction?.then((client) => {
			Object.getPrototypeOf(client).release(error);
		}, () => {});
	}

	/** What the handler's transaction has written is undone, whatever it still does. */
	async rollback() {
		const client = await this.#transaction?.catch(() => null);

		if (!client)
			return;
		if (!client.session.error || sqlstate(client.session.error)) {
			try {
				await client.session.query('ROLLBACK');
				this.#end();
				return;
			} catch {}
		}
		this.#end(new Error('broken'));
	}

	async #failed(error) {
		const transaction = await this.#transaction?.catch(() => null);
		// a handler is told of a connection that the server has closed in the driver's words
		const shutDown = [error, transaction?.session.error].some((e) => e?.code === SHUT_DOWN && connectionLost(e));

		await this.rollback();
		try {
			if (error?.code === LOST || error?.code === ENDED && !this.#given)
				return this.#notOurs(error);
			if (error?.code === CANCELLED || this.#abort.signal.reason instanceof Cancelled) {
				await this.release('0');
				return 'cancelled';
			}
			if (error instanceof Release || shutDown) {
				await this.release(interval(error?.delay ?? '0'));
				return `given back: ${error?.message ?? error}`;
			}
			if (this.#abort.signal.reason instanceof LeaseLost && error === this.#abort.signal.reason)
				return this.#notOurs(error);
			await this.#fail(error);
			return `failed: ${error?.message ?? error}`;
		} catch (second) {
			if (second.code === ENDED)
				return 'succeeded, by its own commit';
			if (second.code === LOST)
				return this.#notOurs(second);
			return `could not be ended, its lease will: ${second.message}`;
		}
	}

	#notOurs(error) {
		this.abort(new LeaseLost());
		return `lost: ${error.message}`;
	}

	#fail(error) {
		const { retry = true, retryIn = null } = error instanceof Fail ? error : {};
		const message = error instanceof Error ? error.message || error.name : String(error);

		return this.#worker.persistent('SELECT defer.fail($1::pg_catalog.int8, $2::pg_catalog.uuid, $3::pg_catalog.text, '
			+ '$4::pg_catalog.text, $5::pg_catalog.text, $6::pg_catalog.bool, $7::pg_catalog.interval)',
		[this.id, this.token, text(message), sqlstate(error), text(error?.detail ?? error?.stack ?? ''), retry, interval(retryIn)]);
	}

	release(delay) {
		return this.#worker.persistent('SELECT defer.release($1::pg_catalog.int8, $2::pg_catalog.uuid, $3::pg_catalog.interval)',
			[this.id, this.token, delay]);
	}
}
