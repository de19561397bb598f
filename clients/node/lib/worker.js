// The worker: takes jobs, runs them at once, keeps their leases, and stops without losing any.
//
//   taking    one connection: takes jobs, and waits for them
//   control   one connection: heartbeats, ends of jobs without a transaction
//   pool      connections of the jobs' transactions
import pg from 'pg';
import { hostname } from 'node:os';
import { Control, connection } from './database.js';
import { Cancelled, connectionLost, ENDED, isConflict, LeaseLost, Stopping } from './errors.js';
import { declareAll } from './declare.js';
import { Endings } from './endings.js';
import { interval } from './options.js';
import { Job } from './job.js';
import { Clock, Waiter } from './wait.js';

const MOST = 500;				// of one call of take
const LONGEST_PAUSE = 5000;		// between tries to connect
const WAITING_FACTOR = 10;		// handlers that wait for others, for each place
const ABANDON_AFTER = 30000;	// a handler that does not stop when it has to

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Worker {
	#running = new Map();		// Job → promise of its end; two can be of one job, the first of which has lost its lease
	#abandoned = 0;
	#stopping = false;
	#killed = false;
	#change = null;
	#beat = null;
	#beating = false;

	/** options: declarations, concurrency, connections, lease (seconds), queues, name, app, version, prune, once, poll, grace (seconds), log */
	constructor(options) {
		this.options = options;
		this.log = options.log;
		this.functions = new Map(options.declarations.map((declaration) => [declaration.name, declaration.fn]));
		this.control = new Control('defer-worker', !options.poll);
		this.taking = new Control('defer-worker', !options.poll);
		this.waiter = options.poll || options.once ? new Clock()
			: new Waiter(this.taking, [...this.functions.keys()], options.queues, this.log);
		this.pool = new pg.Pool({ application_name: 'defer-worker', ...connection(),
			max: options.connections ?? Math.min(options.concurrency, 10) });
		this.pool.on('error', () => {});
		this.endings = new Endings((sql, values) => this.persistent(sql, values));
		this.name = options.name ?? `${hostname()}:${process.pid}`.slice(-63);
	}

	/** A statement that is repeated while there is no connection: for calls that may be repeated. */
	async persistent(sql, values) {
		let lost = false;

		for (let wait = 50; ; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
			try {
				return await this.control.query(sql, values);
			} catch (error) {
				// The answer to the first one was lost, and it had worked
				if (lost && error.code === ENDED)
					return { rows: [] };
				if ((!connectionLost(error) && !isConflict(error)) || this.#killed)
					throw error;
				lost ||= connectionLost(error);
				if (wait >= 800)
					this.log.warn(`again in ${wait} ms: ${error.message}`);
				await pause(wait);
			}
		}
	}

	/** Until stop(), or with "once" until there is no job left. Returns the exit status. */
	async run() {
		const { declarations, lease, once } = this.options;

		await this.#declare(declarations);
		this.#beat = setInterval(() => this.#heartbeat(), lease * 1000 / 3);
		this.log.info(`worker ${this.name}: ${declarations.map(({ name }) => name).join(', ')}; ${this.options.concurrency} at once`);
		while (!this.#stopping) {
			const idle = this.#running.size === 0;
			const free = this.#free();
			const taken = free > 0 ? await this.#take(Math.min(free, MOST)) : null;

			if (taken > 0)
				this.waiter.busy();
			else if (once && idle && taken === 0)
				break;
			else if (free > 0)
				await this.#wait();
			else
				await this.#changed();
		}
		this.#stopping = true;
		await this.#drain();
		return this.#abandoned > 0 ? 1 : 0;
	}

	// A place that becomes free meanwhile is no reason to look again: there is no job for it
	async #wait() {
		const work = this.waiter.wait().then(() => true);

		while (!this.#stopping && !await Promise.race([work, this.#changed().then(() => this.options.once)]));
	}

	async #declare(declarations) {
		const control = { query: (...args) => this.control.query(...args) };

		for (let wait = 100; ; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
			try {
				return await declareAll(control, declarations, this.options);
			} catch (error) {
				if (!connectionLost(error) || this.#stopping)
					throw error;
				this.log.warn(`no connection: ${error.message}`);
				await pause(wait);
			}
		}
	}

	// ---- places

	/** A place is free, or one was taken; the loop looks again. */
	slotChanged() {
		this.#change?.();
	}

	#changed() {
		return new Promise((resolve) => { this.#change = resolve; });
	}

	#free() {
		const { concurrency } = this.options;
		let waiting = 0;

		for (const job of this.#running.keys())
			waiting += job.waiting > 0 ? 1 : 0;
		return concurrency - this.#running.size + Math.min(waiting, concurrency * WAITING_FACTOR);
	}

	// ---- jobs

	async #take(n) {
		let rows;

		try {
			({ rows } = await this.taking.query('SELECT id, token, task, args, attempt, max_attempts, metadata, group_key, deadline, '
				+ 'pg_catalog.date_part(\'epoch\', deadline OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp()) AS seconds_left '
				+ 'FROM defer.take($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.int4, $4::pg_catalog.interval, $5::pg_catalog.text)',
			[[...this.functions.keys()], this.options.queues ?? null, n, interval(this.options.lease), this.name]));
		} catch (error) {
			// Not for a while: a connection, or a place that others have
			if (!connectionLost(error))
				this.log.error(`take: ${error.message}`);
			else
				this.log.warn(`no connection: ${error.message}`);
			if (error.code === '42501' || error.code === '42883')
				throw error;
			await Promise.race([pause(500), this.#changed()]);
			return null;
		}
		for (const row of rows) {
			const job = new Job(this, row);

			if (this.#stopping)
				this.#running.set(job, job.release('0').catch(() => {}).then(() => this.#running.delete(job)));
			else
				this.#start(job);
		}
		return rows.length;
	}

	#start(job) {
		const began = performance.now();
		const done = job.run(this.functions.get(job.row.task)).then((word) => {
			if (this.#running.delete(job)) {
				const level = word === 'succeeded' ? 'info' : 'warn';

				this.log[level](`job ${job.id} ${job.row.task}, attempt ${job.row.attempt}: ${word}, ${Math.round(performance.now() - began)} ms`);
			} else
				this.#abandoned--;
			this.slotChanged();
		});

		this.#running.set(job, done);
	}

	// A handler that goes on though its job is not the worker's any more: its place is given to another
	#abandonLater(job) {
		setTimeout(() => {
			if (!this.#running.delete(job))
				return;
			this.#abandoned++;
			this.log.error(`job ${job.id} ${job.row.task}: its handler does not stop; its place is given to another`);
			job.rollback();
			if (this.#abandoned >= this.options.concurrency) {
				this.log.error('as many handlers as places do not stop: the worker ends, to be started again');
				this.stop();
			}
			this.slotChanged();
		}, ABANDON_AFTER).unref();
	}

	// The server has ended the leases of jobs of which it has not heard for so long, whether it can be asked or not
	#loseLeases(jobs) {
		for (const job of jobs) {
			if (performance.now() - job.heard < this.options.lease * 1000 || job.context.signal.aborted)
				continue;
			this.#abandonLater(job);
			job.abort(new LeaseLost('the server was not heard of for as long as the lease of the job'));
		}
	}

	async #heartbeat() {
		const jobs = [...this.#running.keys()];
		const now = performance.now();

		this.#loseLeases(jobs);
		if (jobs.length === 0 || this.#beating)
			return;
		this.#beating = true;
		try {
			const { rows } = await this.control.query('SELECT answer FROM defer.heartbeat_many($1::pg_catalog.int8[], $2::pg_catalog.uuid[])',
				[jobs.map(({ id }) => id), jobs.map(({ token }) => token)], this.options.lease * 1000 / 2);

			// in the order of the jobs
			rows.forEach(({ answer }, i) => {
				const job = jobs[i];

				if (answer !== 'lost')
					job.heard = now;
				if (answer === 'go on')
					return;
				if (!job.context.signal.aborted)
					this.#abandonLater(job);
				job.abort(answer === 'cancel' ? new Cancelled() : new LeaseLost());
			});
		} catch (error) {
			this.log.warn(`heartbeat: ${error.message}`);
		} finally {
			this.#beating = false;
		}
	}

	// ---- the end

	/** Take no more, and let the running jobs end; called again: give them back at once. */
	stop() {
		if (this.#stopping)
			this.#kill?.();
		this.#stopping = true;
		this.slotChanged();
	}

	#kill = null;

	async #drain() {
		this.taking.destroy();
		const late = new Promise((resolve) => {
			this.#kill = resolve;
			setTimeout(resolve, this.options.grace * 1000).unref();
		}).then(() => true);
		const all = Promise.all(this.#running.values()).then(() => false);

		if (await Promise.race([all, late]))
			await this.#giveBack();
		clearInterval(this.#beat);
		await this.control.end();
		await Promise.race([this.pool.end(), pause(1000)]);
		this.log.info(`worker ${this.name}: has ended`);
	}

	async #giveBack() {
		const jobs = [...this.#running.keys()];

		this.log.warn(`${jobs.length} jobs do not end in time: they are given back`);
		this.#killed = true;
		for (const job of jobs) {
			job.abort(new Stopping());
			this.#running.delete(job);
			this.#abandoned++;
		}
		await Promise.race([pause(5000), Promise.allSettled(jobs.map(async (job) => {
			await job.rollback();
			await job.release('0');
		}))]);
		this.#abandoned = 0;
	}
}
