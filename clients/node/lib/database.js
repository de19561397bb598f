// Connections: the pool of an application, and sessions that are used by one thing at a time.
import pg from 'pg';
import { connectionLost } from './errors.js';

let pool = null;
let settings = {};

/**
 * Say how to reach the database: { pool } of yours, or what pg.Pool takes. Without a call DATABASE_URL counts, or else
 * libpq's variables such as PGHOST.
 */
export function configure(given) {
	settings = given;
	pool = given.pool ?? null;
}

export function connection() {
	const { pool: _, ...rest } = settings;

	if (!rest.connectionString && !rest.host && process.env.DATABASE_URL)
		rest.connectionString = process.env.DATABASE_URL;
	// a connection that was cut is noticed within half a minute
	return { keepAlive: true, keepAliveInitialDelayMillis: 10000, connectionTimeoutMillis: 10000, ...rest };
}

/** The pool of the application: short statements only, so that none waits for another for long. */
export function applicationPool() {
	if (!pool) {
		pool = new pg.Pool({ max: 10, allowExitOnIdle: true, ...connection() });
		// an idle connection that breaks is replaced by the next use
		pool.on('error', () => {});
	}
	return pool;
}

/** A connection of its own, made as those of the pool are; null: how to make one cannot be told. */
export function ownClient() {
	const options = settings.pool ? settings.pool.options : connection();

	// (a pool hides its password from enumeration)
	return options ? new pg.Client({ application_name: 'defer-await', ...options, password: options.password }) : null;
}

/** End the pool that this package has made, not one of yours. */
export async function close() {
	const mine = settings.pool ? null : pool;

	pool = settings.pool ?? null;
	await mine?.end();
}

/**
 * Statements of a connection, one after the other. The first error is kept: in a transaction it is the one that counts,
 * whatever a handler has caught.
 */
export class Session {
	#last = Promise.resolve();

	constructor(client) {
		this.client = client;
		this.error = null;
		client.on('error', (error) => { this.error ??= error; });
	}

	query(text, values) {
		const answer = this.#last.then(() => this.client.query(text, values));

		this.#last = answer.catch((error) => { this.error ??= error; });
		return answer;
	}
}

// A statement that was prepared is not there any more, as the session was reset, or has another result, as the extension
// was updated. It was not run.
const STALE = ['26000', '0A000'];

/** A connection that is made when it is needed, and anew after it has broken. */
export class Control {
	#session = null;
	#client = null;
	#names = null;		// text → name of the statement

	/** prepare: the server parses each text once; not behind a pooler, where a session is not ours. */
	constructor(name, prepare = false) {
		this.name = name;
		if (prepare)
			this.#names = new Map();
	}

	async query(text, values, timeout = 30000) {
		try {
			return await this.#query(text, values, timeout);
		} catch (error) {
			if (!this.#names || !STALE.includes(error.code))
				throw error;
			return this.#query(text, values, timeout);
		}
	}

	async #query(text, values, timeout) {
		const session = await (this.#session ??= this.#connect());

		try {
			return await session.query({ text, values, name: this.#nameOf(text), query_timeout: timeout });
		} catch (error) {
			// A statement without an answer may still be under way: nothing follows it
			if (connectionLost(error) || STALE.includes(error.code))
				this.#drop(session);
			throw error;
		}
	}

	#nameOf(text) {
		if (this.#names && !this.#names.has(text))
			this.#names.set(text, `defer ${this.#names.size + 1}`);
		return this.#names?.get(text);
	}

	async #connect() {
		const client = new pg.Client({ application_name: this.name, ...connection() });

		try {
			await client.connect();
		} catch (error) {
			this.#session = null;
			throw error;
		}
		const session = new Session(client);

		client.on('error', () => this.#drop(session));
		client.on('end', () => this.#drop(session));
		this.#client = client;
		return session;
	}

	#drop(session) {
		if (this.#client === session.client) {
			this.#session = null;
			this.#client = null;
			session.client.connection?.stream?.destroy();
		}
	}

	async end() {
		const client = this.#client;

		this.#client = this.#session = null;
		await client?.end().catch(() => {});
	}

	/** End it at once, whatever it waits for. */
	destroy() {
		this.#client?.connection?.stream?.destroy();
	}
}
