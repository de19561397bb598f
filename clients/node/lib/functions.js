// defer(), defer.cron(), and the calls of what they return: each enqueues a job.
import { applicationPool } from './database.js';
import { storage } from './context.js';
import { DeferError } from './errors.js';
import { callFields, callParameters, cronParameters, namedCall, settingParameters, splitCron } from './options.js';

const mark = Symbol.for('defer-postgres.function');

/** { fn, name, settings, schedule, cron, schema } of what defer() or defer.cron() has returned, or undefined. */
export const declared = (value) => value?.[mark];

function declare(fn, given) {
	if (typeof fn !== 'function')
		throw new DeferError('defer() takes a function');
	const { name = fn.name, schema = null, ...settings } = given;

	if (!name || name === 'default')
		throw new DeferError('a background function has a name: const greet = async () => {...}; export default defer(greet)');
	settingParameters(settings);
	return { fn, name, settings, schema, schedule: null, cron: {} };
}

// What calls of it do; options are those of assignOptions()
function callable(declaration, options) {
	const call = (...args) => enqueue(declaration, options, args);

	call[mark] = declaration;
	call.options = options;
	Object.defineProperty(call, 'name', { value: declaration.name });
	return call;
}

/** A background function: calls of what is returned enqueue a job, and return { id }. */
export function defer(fn, options = {}) {
	return callable(declare(fn, options), {});
}

/** A function that is run by a schedule: five fields as in cron(8), @daily and the like, or "every <interval>". */
defer.cron = function cron(fn, schedule, options = {}) {
	const [cronOptions, settings] = splitCron(options);
	const declaration = declare(fn, settings);

	if (typeof schedule !== 'string')
		throw new DeferError(`the schedule of "${declaration.name}" is a text, such as "0 8 * * 1"`);
	if (fn.length > 0)
		throw new DeferError(`a scheduled function takes no arguments, but "${declaration.name}" has ${fn.length}`);
	cronParameters(cronOptions);
	return callable({ ...declaration, schedule, cron: cronOptions }, {});
};

function one(fn) {
	const declaration = declared(fn);

	if (!declaration)
		throw new DeferError('not a background function: wrap it by defer(fn)');
	return declaration;
}

/** The same function, with options for its calls. */
export function assignOptions(fn, options) {
	const declaration = one(fn);

	callParameters(options);
	return callable(declaration, { ...fn.options, ...options });
}

export const delay = (fn, value, options = {}) => assignOptions(fn, { ...options, delay: value });
export const discardAfter = (fn, value, options = {}) => assignOptions(fn, { ...options, discardAfter: value });
export const addMetadata = (fn, value, options = {}) =>
	assignOptions(fn, { ...options, metadata: { ...fn.options?.metadata, ...value } });

/** The client that was given, or else the transaction of the running job, or else a connection of the pool. */
export async function target(client) {
	return client ?? await storage.getStore()?.context.client() ?? applicationPool();
}

function json(name, args) {
	try {
		return JSON.stringify(args);
	} catch (error) {
		throw new DeferError(`arguments of "${name}" are not JSON: ${error.message}`, { cause: error });
	}
}

function refuseScheduled({ schedule, name }) {
	if (schedule !== null)
		throw new DeferError(`"${name}" is run by its schedule: use trigger() to run it now`);
}

async function enqueue(declaration, options, args) {
	refuseScheduled(declaration);
	const [call, values] = namedCall('defer.enqueue',
		[['text', declaration.name], ['jsonb', json(declaration.name, args)]], callParameters(options));
	const { rows } = await (await target(options.client)).query(`SELECT ${call} AS id`, values);

	return { id: String(rows[0].id) };
}

/** For awaitResult(): a job that can begin at once, whatever becomes of the transaction of the running one. */
export function enqueueAtOnce(fn, args) {
	return enqueue(one(fn), { ...fn.options, client: fn.options.client ?? applicationPool() }, args);
}

/** A job for each element of a list of lists of arguments, by one statement. */
export async function enqueueMany(fn, list) {
	const declaration = one(fn);

	refuseScheduled(declaration);
	const fields = callFields(fn.options);
	const jobs = list.map((args) => ({ ...fields, args }));
	const { rows } = await (await target(fn.options.client)).query(
		'SELECT id FROM defer.enqueue_many($1::pg_catalog.text, $2::pg_catalog.jsonb) ORDER BY ord',
		[declaration.name, json(declaration.name, jobs)]);

	return rows.map(({ id }) => ({ id: String(id) }));
}

/** Run a scheduled function now, besides its times. */
export async function trigger(fn, { client } = {}) {
	const { name, schedule } = one(fn);

	if (schedule === null)
		throw new DeferError(`"${name}" has no schedule: call it`);
	const { rows } = await (await target(client)).query('SELECT defer.trigger($1::pg_catalog.text) AS id', [name]);

	return { id: String(rows[0].id) };
}

/** Send an e-mail once the transaction has committed, that of the running job in a handler. Options: html, cc, bcc, replyTo, sender, endpoint, client. */
export async function email(recipients, subject, body = null, options = {}) {
	const names = { html: 'text', cc: 'text[]', bcc: 'text[]', replyTo: 'text', sender: 'text', endpoint: 'text' };
	const named = Object.entries(options).filter(([name]) => name !== 'client').map(([name, value]) => {
		if (!Object.hasOwn(names, name))
			throw new DeferError(`email has no option "${name}"`);
		return [name === 'replyTo' ? 'reply_to' : name, names[name], value];
	});
	const [call, values] = namedCall('defer.email',
		[[Array.isArray(recipients) ? 'text[]' : 'text', recipients], ['text', subject], ['text', body]], named);
	const { rows } = await (await target(options.client)).query(`SELECT ${call} AS id`, values);

	return { id: String(rows[0].id) };
}
