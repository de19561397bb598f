// Options of the functions of this package, as arguments of defer's SQL functions.
import { DeferError } from './errors.js';

const RETRY = {
	maxAttempts: ['max_attempts', 'integer'],
	initialInterval: ['initial_interval', 'interval'],
	multiplier: ['multiplier', 'double precision'],
	maxInterval: ['max_interval', 'interval'],
	randomizationFactor: ['randomization', 'double precision'],
};

// Of defer() and defer.cron(): parameters of defer.configure()
const SETTINGS = {
	concurrency: ['concurrency', 'integer'],
	maxConcurrencyAction: ['at_limit', 'text'],
	maxDuration: ['max_duration', 'interval'],
	discardAfter: ['discard_after', 'interval'],
	queue: ['queue', 'text'],
	priority: ['priority', 'integer'],
	groupBy: ['group_by', 'text'],
	groupConcurrency: ['group_concurrency', 'integer'],
	rate: ['rate', 'text'],
	rateBurst: ['rate_burst', 'integer'],
	groupRate: ['group_rate', 'text'],
	groupRateBurst: ['group_rate_burst', 'integer'],
	maxQueued: ['max_queued', 'integer'],
	groupMaxQueued: ['group_max_queued', 'integer'],
};

// Of defer.cron() alone: parameters of defer.cron()
const CRON = {
	timezone: ['timezone', 'text'],
	overlap: ['overlap', 'text'],
	catchUp: ['catch_up', 'text'],
	catchUpWindow: ['catch_up_window', 'interval'],
	jitter: ['jitter', 'interval'],
	pauseAfterFailures: ['pause_after_failures', 'integer'],
	maxRuns: ['max_runs', 'integer'],
};

// Of a call: parameters of defer.enqueue(), besides delay, discardAfter, retry and client
const CALL = {
	queue: ['queue', 'text'],
	priority: ['priority', 'bigint'],
	key: ['key', 'text'],
	onKey: ['on_key', 'text'],
	debounceMax: ['debounce_max', 'interval'],
	keyFor: ['key_for', 'interval'],
	metadata: ['metadata', 'jsonb'],
	maxDuration: ['max_duration', 'interval'],
	groupKey: ['group_key', 'text'],
	after: ['after', 'bigint[]'],
	afterFailure: ['after_failure', 'text'],
	whenDone: ['when_done', 'text'],
};

/** A number is seconds; a text is for PostgreSQL: "5 minutes", "1h". */
export function interval(value) {
	return typeof value === 'number' ? `${value} seconds` : value;
}

function convert(type, value) {
	if (type === 'interval')
		return interval(value);
	if (type === 'jsonb')
		return JSON.stringify(value);
	return value;
}

/** [[parameter, type, value] ...] of what is given of an object; a name that is not of the list is an error. */
function parameters(list, given, what) {
	const found = [];

	for (const [name, value] of Object.entries(given ?? {})) {
		if (!Object.hasOwn(list, name))
			throw new DeferError(`${what} has no option "${name}": there are ${Object.keys(list).join(', ')}`);
		if (value !== undefined && value !== null)
			found.push([...list[name], convert(list[name][1], value)]);
	}
	return found;
}

/** retry: true, false, a number of attempts, or a policy. */
function retryParameters(retry) {
	if (retry === undefined || retry === null || retry === true)
		return [];
	if (retry === false)
		return [['max_attempts', 'integer', 1]];
	if (typeof retry === 'number')
		return [['max_attempts', 'integer', Math.max(retry, 1)]];
	return parameters(RETRY, retry, 'retry');
}

export function settingParameters({ retry, ...rest }) {
	return [...retryParameters(retry), ...parameters(SETTINGS, rest, 'a function')];
}

/** Of the options of defer.cron(): those of the schedule, and the others. */
export function splitCron(options) {
	const cron = {}, rest = {};

	for (const [name, value] of Object.entries(options))
		(Object.hasOwn(CRON, name) ? cron : rest)[name] = value;
	return [cron, rest];
}

export const cronParameters = (options) => parameters(CRON, options, 'a schedule');

/** [SQL, values] of a call with named arguments, behind those that stand first. */
export function namedCall(target, first, named) {
	const values = [];
	const value = (type, v) => `$${values.push(v)}::${type.startsWith('pg_catalog.') ? type : `pg_catalog.${sqlType(type)}`}`;
	const args = first.map(([type, v]) => value(type, v));

	for (const [name, type, v, expression] of named)
		args.push(`${name} => ${expression ? expression(() => value(type, v)) : value(type, v)}`);
	return [`${target}(${args.join(', ')})`, values];
}

// Types by their names in pg_catalog, so that no search_path has a say
function sqlType(type) {
	const names = { 'bigint': 'int8', 'bigint[]': 'int8[]', 'integer': 'int4', 'double precision': 'float8' };

	return names[type] ?? type;
}

/** Named arguments of defer.enqueue() of the options of a call. */
export function callParameters({ delay, discardAfter, retry, client, ...rest } = {}) {
	const found = [...retryParameters(retry), ...parameters(CALL, rest, 'a call')];

	if (delay instanceof Date)
		found.push(['run_at', 'timestamptz', delay]);
	else if (delay !== undefined && delay !== null)
		found.push(['delay', 'interval', interval(delay)]);
	if (discardAfter instanceof Date) {
		// The option counts from when the job can begin, by the server's clock
		found.push(['discard_after', 'timestamptz', discardAfter, (value) => {
			const until = `${value()} OPERATOR(pg_catalog.-) `;

			if (delay instanceof Date)
				return `${until}'${delay.toISOString()}'::pg_catalog.timestamptz`;
			return `${until}pg_catalog.clock_timestamp()`;
		}]);
		if (delay && !(delay instanceof Date))
			throw new DeferError('discardAfter as a Date needs delay as a Date');
	} else if (discardAfter !== undefined && discardAfter !== null)
		found.push(['discard_after', 'interval', interval(discardAfter)]);
	return found;
}

/** The same as fields of an object of defer.enqueue_many(). */
export function callFields(options) {
	return Object.fromEntries(callParameters(options).map(([name, type, value, expression]) => {
		if (expression)
			throw new DeferError('enqueueMany takes discardAfter as an interval');
		return [name, type === 'jsonb' ? JSON.parse(value) : value];
	}));
}
