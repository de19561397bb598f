// Errors that a caller or a handler can tell apart.

/** An error of the client; of the server there are pg's own, with SQLSTATE in `code`. */
export class DeferError extends Error {
	constructor(message, options) {
		super(message, options);
		this.name = new.target.name;
	}
}

/** Thrown by a handler: the attempt has failed; the job is tried again in `retryIn`, or not at all. */
export class Fail extends DeferError {
	constructor(message, { retry = true, retryIn = null, cause } = {}) {
		super(message, { cause });
		this.retry = retry;
		this.retryIn = retryIn;
	}
}

/** Thrown by a handler: the job is given back, can be taken again after `delay`, and uses no attempt. */
export class Release extends DeferError {
	constructor(delay = '0') {
		super(`given back for ${delay}`);
		this.delay = delay;
	}
}

/** Reason of a handler's signal: the job was cancelled. */
export class Cancelled extends DeferError {
	constructor(message = 'the job was cancelled') { super(message); }
}

/** Reason of a handler's signal: the job is not the worker's any more. Nothing that it writes with ctx can commit. */
export class LeaseLost extends DeferError {
	constructor(message = 'the lease of the job is over') { super(message); }
}

/** Reason of a handler's signal: the worker stops, and gives the job back. */
export class Stopping extends DeferError {
	constructor(message = 'the worker stops') { super(message); }
}

/** Of awaitResult(): the job did not succeed; `state` and `code` (SQLSTATE) say how it ended. */
export class ExecutionFailed extends DeferError {
	constructor(message, { id, state, code }) {
		super(message);
		Object.assign(this, { id, state, code });
	}
}

// SQLSTATEs of tokens: lost, cancelled, ended before with this token
export const LOST = 'DF030';
export const CANCELLED = 'DF031';
export const ENDED = 'DF032';

/** Is it worth trying again at once? Nothing was done, because another transaction was. */
export const isConflict = (error) => ['40001', '40P01'].includes(error?.code);

/** Is it worth trying again with another connection? */
export function connectionLost(error) {
	const code = error?.code;

	if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code))
		return /^(08|57P0[1235]|53300)/.test(code);
	// no answer of the server: a system error, or pg's own words
	return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND',
		'EAI_AGAIN'].includes(code)
		|| /Connection terminated|not queryable|Client was closed|timeout expired|Query read timeout|Connection ended/.test(error?.message);
}
