import type { ClientBase, Pool, PoolClient, PoolConfig } from "pg";

/** Text that PostgreSQL reads as an interval ("5 minutes", "1h"), or seconds. */
export type Interval = string | number;
type Handler = (...args: any[]) => Promise<any>;
type Client = ClientBase | PoolClient;

export interface RetryPolicy {
	/** Attempts in all (13). */
	maxAttempts?: number;
	/** Pause after the first failed attempt (30 s). */
	initialInterval?: Interval;
	/** Factor of each further pause (1.5). */
	multiplier?: number;
	/** Longest pause (600 s). */
	maxInterval?: Interval;
	/** Each pause is up to this share shorter or longer (0.5). */
	randomizationFactor?: number;
}

/** Settings of a function, as of defer.configure(). What is not given is as the queue or the server says. */
export interface FunctionOptions {
	/** Name of the task, if it is not the function's: bundlers that shorten names need it. */
	name?: string;
	/** false: one attempt; a number: so many attempts; true: as the server says. */
	retry?: boolean | number | RetryPolicy;
	/** Jobs at the same time, over all workers. */
	concurrency?: number;
	/** What is done with jobs over the limit. */
	maxConcurrencyAction?: "keep" | "cancel";
	/** An attempt that takes longer has failed. */
	maxDuration?: Interval;
	/** A job that has not started after this time is discarded. */
	discardAfter?: Interval;
	queue?: string;
	priority?: number;
	/** What names the group of a job: "metadata.tenant". */
	groupBy?: string;
	groupConcurrency?: number;
	/** Attempts that begin, such as "100/minute". */
	rate?: string;
	rateBurst?: number;
	groupRate?: string;
	groupRateBurst?: number;
	/** JSON Schema that arguments are checked with when they are enqueued. */
	schema?: object;
}

/** Settings of a scheduled function, and of its schedule, as of defer.cron(). */
export interface CronOptions extends FunctionOptions {
	/** IANA name (UTC). */
	timezone?: string;
	overlap?: "skip" | "queue" | "allow" | "replace";
	catchUp?: "none" | "one" | "all";
	catchUpWindow?: Interval;
	jitter?: Interval;
	pauseAfterFailures?: number;
	maxRuns?: number;
}

/** Options of calls, as of defer.enqueue(). */
export interface CallOptions {
	/** The client of a transaction of yours: the job is there when that commits. */
	client?: Client;
	/** How long to wait, or until when. */
	delay?: Interval | Date;
	discardAfter?: Interval | Date;
	metadata?: Record<string, unknown>;
	priority?: number;
	queue?: string;
	key?: string;
	onKey?: "keep" | "replace" | "debounce" | "error";
	debounceMax?: Interval;
	keyFor?: Interval;
	retry?: boolean | number | RetryPolicy;
	maxDuration?: Interval;
	groupKey?: string;
	/** Ids of jobs that have to end first. */
	after?: string[];
	afterFailure?: "cancel" | "run" | "hold";
	whenDone?: string;
}

export interface Enqueued {
	id: string;
}

/** A background function: a call enqueues a job. */
export interface DeferredFunction<F extends Handler> {
	(...args: Parameters<F>): Promise<Enqueued>;
	readonly options: CallOptions;
}

export interface Execution {
	id: string;
	function: string;
	args: unknown;
	state: "scheduled" | "queued" | "waiting" | "running" | "retrying" | "succeeded" | "failed" | "cancelled" | "discarded";
	queue: string;
	attempt: number;
	maxAttempts: number;
	result: unknown;
	error: string | null;
	sqlstate: string | null;
	metadata: Record<string, unknown> | null;
	progress: number | null;
	runAt: Date | null;
	enqueuedAt: Date;
	startedAt: Date | null;
	finishedAt: Date | null;
	parentId: string | null;
}

interface Log {
	/** Of level info: in defer.logs and in the worker's log. */
	(message: string): void;
	/** In the worker's log only. */
	debug(message: string): void;
	info(message: string): void;
	warn(message: string): void;
	error(message: string): void;
}

/** The job that the running code belongs to. */
export interface JobContext {
	readonly id: string;
	readonly token: string;
	readonly task: string;
	/** This attempt, from 1 on. */
	readonly attempt: number;
	readonly maxAttempts: number;
	readonly metadata: Record<string, unknown> | null;
	readonly groupKey: string | null;
	readonly deadline: Date | null;
	/** Aborted when the job is cancelled, lost, or given back: stop then. Its reason is one of the errors below. */
	readonly signal: AbortSignal;
	/**
	 * The job's own transaction. What is written with it, and what functions enqueue that are called in the handler, is
	 * committed together with the job's end, or not at all. Do not end it yourself.
	 */
	client(): Promise<PoolClient>;
	/** End the job in a transaction of yours, which you commit: exactly once. */
	complete(client: Client, result?: unknown): Promise<void>;
	/** From 0 to 1, shown in defer.jobs at once. */
	progress(fraction: number): void;
	log: Log;
}

export interface EmailOptions {
	client?: Client;
	html?: string;
	cc?: string[];
	bcc?: string[];
	replyTo?: string;
	sender?: string;
	endpoint?: string;
}

/** Say how to reach the database: a pool of yours, or what pg.Pool takes. By itself: DATABASE_URL, or PGHOST and the like. */
export function configure(settings: PoolConfig & { pool?: Pool }): void;
/** End the pool of this package. */
export function close(): Promise<void>;

/** A background function: export it as the default of a file of its name. */
export function defer<F extends Handler>(fn: F, options?: FunctionOptions): DeferredFunction<F>;
export namespace defer {
	/** A function without arguments that a schedule runs: five fields as in cron(8), "@daily", or "every 5 minutes". */
	function cron<F extends () => Promise<any>>(fn: F, schedule: string, options?: CronOptions): DeferredFunction<F>;
}

/** The same function, with options for its calls. */
export function assignOptions<F extends Handler>(fn: DeferredFunction<F>, options: CallOptions): DeferredFunction<F>;
export function delay<F extends Handler>(fn: DeferredFunction<F>, value: Interval | Date, options?: CallOptions): DeferredFunction<F>;
export function discardAfter<F extends Handler>(fn: DeferredFunction<F>, value: Interval | Date, options?: CallOptions): DeferredFunction<F>;
export function addMetadata<F extends Handler>(fn: DeferredFunction<F>, value: Record<string, unknown>, options?: CallOptions): DeferredFunction<F>;
/** A job for each list of arguments, by one statement. */
export function enqueueMany<F extends Handler>(fn: DeferredFunction<F>, list: Parameters<F>[]): Promise<Enqueued[]>;
/** Run a scheduled function now, besides its times. */
export function trigger(fn: DeferredFunction<() => Promise<any>>, options?: { client?: Client }): Promise<Enqueued>;
/** Send an e-mail when the transaction commits, that of the running job in a handler. */
export function email(recipients: string | string[], subject: string, body?: string | null, options?: EmailOptions): Promise<Enqueued>;

/** Enqueue a job at once, wait for its end, and return its result. timeout: in milliseconds. Throws ExecutionFailed. */
export function awaitResult<F extends Handler>(fn: DeferredFunction<F>, options?: { timeout?: number }):
	(...args: Parameters<F>) => Promise<Awaited<ReturnType<F>>>;
export function getExecution(id: string, options?: { client?: Client }): Promise<Execution>;
/** false: it has ended, or runs and force is false. */
export function cancelExecution(id: string, force?: boolean, options?: { client?: Client }): Promise<boolean>;
/** false: it runs or has ended. Without a time: now. */
export function rescheduleExecution(id: string, when?: Interval | Date, options?: { client?: Client }): Promise<boolean>;
export function reRunExecution(id: string, options?: { client?: Client }): Promise<Enqueued>;

/** The context of the running job; an error outside of one. */
export function currentJob(): JobContext;

export class DeferError extends Error {}
/** Throw it in a handler: the attempt has failed, and is repeated in retryIn, or never. */
export class Fail extends DeferError {
	constructor(message: string, options?: { retry?: boolean; retryIn?: Interval; cause?: unknown });
}
/** Throw it in a handler: the job is given back, and uses no attempt. */
export class Release extends DeferError {
	constructor(delay?: Interval);
}
/** Reasons of the signal. */
export class Cancelled extends DeferError {}
export class LeaseLost extends DeferError {}
export class Stopping extends DeferError {}
export class ExecutionFailed extends DeferError {
	readonly id: string;
	readonly state: string;
	readonly code: string | null;
}
