// Tasks and schedules of the loaded functions, in the database.
//
// What the code declared last is kept with the task, in the keyword $comment of its schema, as JSON:
// { app, version, declared: { settings, schedule, cron, schema } }. It is applied again if the code says another thing,
// and not if the one that said it last had a higher version: a worker of an older deploy changes nothing back.
import { isDeepStrictEqual } from 'node:util';
import { cronParameters, namedCall, settingParameters } from './options.js';

const ALREADY_THERE = '42710';
const NOT_OWNER = '42501';

function wanted({ settings, schedule, cron, schema }) {
	return JSON.parse(JSON.stringify({ settings, schedule, cron, schema }));
}

function lastOf(schema) {
	try {
		return JSON.parse(schema.$comment);
	} catch {
		return null;		// not ours, or none
	}
}

const comment = (schema, app, version, declared) => ({ ...schema, $comment: JSON.stringify({ app, version, declared }) });

async function call(client, target, first, named) {
	const [text, values] = namedCall(target, first, named);

	return client.query(`SELECT ${text}`, values);
}

async function find(client, name) {
	const { rows } = await client.query('SELECT schema, owner, pg_catalog.pg_has_role(owner, \'MEMBER\') AS mine '
		+ 'FROM defer.tasks WHERE name OPERATOR(pg_catalog.=) $1::pg_catalog.text', [name]);

	return rows[0];
}

/** Apply one declaration, in the client's transaction; what is not applied is reported. */
async function declareOne(client, declaration, { app, version, log }) {
	const { name } = declaration;
	const now = wanted(declaration);
	const settings = settingParameters(declaration.settings);
	const task = await find(client, name);

	if (!task) {
		await call(client, 'defer.create_task', [['text', name]],
			[...settings, ['schema', 'jsonb', JSON.stringify(comment(declaration.schema, app, version, now))]]);
		log.info(`task ${name}: created`);
	} else {
		const last = lastOf(task.schema);

		if (last && isDeepStrictEqual(last.declared, now) && last.app === app) {
			if (version > last.version && task.mine)
				await call(client, 'defer.alter_task', [['text', name], ['jsonb', JSON.stringify(comment(declaration.schema, app, version, now))]], []);
			return;
		}
		if (last && last.app !== app)
			throw new Error(`task "${name}" is declared by the application "${last.app}", and this one is "${app}" (--app)`);
		if (!task.mine) {
			log.warn(`task ${name}: its settings differ from the code's, but it belongs to role ${task.owner}: left as it is`);
			return;
		}
		if (last && last.version > version) {
			log.warn(`task ${name}: declared by version ${last.version}, later than this one (--version ${version}): left as it is`);
			return;
		}
		if (settings.length > 0 || Object.keys(last?.declared.settings ?? {}).length > 0)
			await call(client, 'defer.configure', [['text', name]], [...settings, ['reset', 'bool', true]]);
		await call(client, 'defer.alter_task', [['text', name],
			['jsonb', JSON.stringify(comment(declaration.schema ?? withoutComment(last, task.schema), app, version, now))]], []);
		log.info(`task ${name}: changed`);
	}
	if (declaration.schedule !== null) {
		await call(client, 'defer.cron', [['text', name], ['text', declaration.schedule], ['text', name]], cronParameters(declaration.cron));
		log.info(`schedule ${name}: ${declaration.schedule} (${declaration.cron.timezone ?? 'UTC'})`);
	}
}

// The schema of a task that was made by SQL stays
function withoutComment(last, schema) {
	if (last)
		return null;
	const { $comment: _, ...rest } = schema ?? {};

	return rest;
}

/** Report schedules that the application declared before and does not any more, or remove them. */
async function dropMissing(client, declarations, { app, prune, version, log }) {
	const here = new Map(declarations.map((declaration) => [declaration.name, declaration]));
	const { rows } = await client.query('SELECT s.id, s.name, t.schema FROM defer.schedules s '
		+ 'JOIN defer.tasks t ON t.name OPERATOR(pg_catalog.=) s.name AND t.name OPERATOR(pg_catalog.=) s.function '
		+ 'WHERE pg_catalog.pg_has_role(t.owner, \'MEMBER\') AND s.owner OPERATOR(pg_catalog.=) t.owner ORDER BY s.name');

	for (const { id, name, schema } of rows) {
		const last = lastOf(schema);

		if (last?.app !== app || last.version > version || (here.get(name) && here.get(name).schedule !== null))
			continue;
		if (!prune) {
			log.warn(`schedule ${name}: no file declares it any more; --prune removes it`);
			continue;
		}
		await client.query('SELECT defer.unschedule($1::pg_catalog.int8)', [id]);
		log.info(`schedule ${name}: removed`);
		if (!here.has(name)) {
			const declared = { ...last.declared, schedule: null, cron: {} };

			await call(client, 'defer.alter_task', [['text', name], ['jsonb', JSON.stringify(comment(schema, app, version, declared))]], []);
		}
	}
}

async function transaction(client, work) {
	await client.query('BEGIN');
	try {
		await work();
		await client.query('COMMIT');
	} catch (error) {
		await client.query('ROLLBACK');
		throw error;
	}
}

/** Declare all functions. Two workers that begin at the same time may both try: who comes later finds it done. */
export async function declareAll(client, declarations, options) {
	for (const declaration of declarations) {
		for (let again = 3; ; again--) {
			try {
				await transaction(client, () => declareOne(client, declaration, options));
				break;
			} catch (error) {
				if (error.code === NOT_OWNER && error.hint)
					error.message += ` (${error.hint})`;
				if (![ALREADY_THERE, '23505', '40001', '40P01'].includes(error.code) || again === 0)
					throw error;
			}
		}
	}
	await transaction(client, () => dropMissing(client, declarations, options));
}
