// defer from Node.js: what doc/drivers.md says of node-postgres, Knex, Drizzle and Prisma.
// usage: node node.js DRIVER URL; prints TAP
'use strict';
const [driver, url] = process.argv.slice(2);
const later = new Date('2100-01-01T00:00:00Z');
let count = 0;

function ok(good, name, seen) {
	console.log(`${good ? 'ok' : 'not ok'} ${++count} - ${driver}: ${name}`);
	if (!good) console.log(`#   ${JSON.stringify(seen)}`);
}

async function refused(call, part, name) {
	try {
		ok(false, name, await call());
	} catch (error) {
		ok(String(error.cause?.message ?? error.message).includes(part), name, error.message);
	}
}

const effect = "INSERT INTO app.fenced VALUES ('lost')";
const lost = 'SELECT defer.complete(0, gen_random_uuid()) AS v';

// A transaction that does not hold the job it wants to end cannot commit what it has written, though the driver's savepoint
// has caught the error: transaction() executes "effect", and "lost" in a savepoint, and commits
async function fenced(run, transaction) {
	await refused(transaction, 'cannot be committed', 'whoever has lost a job cannot commit, whatever a savepoint has caught');
	const seen = await run('SELECT count(*)::int AS v FROM app.fenced', []);
	ok(seen === 0, 'and nothing of it is left', seen);
}

// run(SQL, values) is the first value of the first row
async function common(run, rollback) {
	let id = await run('SELECT defer.enqueue($1, $2) AS v', ['app.send_invoice', { invoice_id: 42 }]);
	const result = await run("SELECT defer.await($1, '60 s') AS v", [id]);
	ok(result === 'mail 42', 'arguments by name, and the result', result);
	id = await run('SELECT defer.enqueue($1, $2, delay => $3, priority => $4, key => $5, metadata => $6, max_attempts => $7) AS v',
		['app.send_invoice', JSON.stringify([7, 'fax']), '1 hour', 5, 7, { order: 7 }, 3]);
	let seen = await run("SELECT priority || ' ' || (metadata ->> 'order') || ' ' || (run_at > now() + '59 min') AS v FROM defer.jobs WHERE id = $1", [id]);
	ok(seen === '5 7 true', 'options', seen);
	seen = await run('SELECT outcome AS v FROM defer.enqueue_one($1, $2, key => $3)', ['app.send_invoice', '[7]', '7']);
	ok(seen === 'kept', 'enqueue_one', seen);
	seen = await run('SELECT defer.cancel($1)::text AS v', [id]);
	ok(seen === 'true', 'an id that came back can be given again', seen);
	id = await run('SELECT defer.enqueue($1, $2, run_at => $3, delay => $4) AS v', ['app.send_invoice', '[8]', later, null]);
	seen = await run("SELECT (run_at = '2100-01-01 00:00Z')::text AS v FROM defer.jobs WHERE id = $1", [id]);
	ok(seen === 'true', 'a time, and null as if not given', seen);
	seen = await run('SELECT max(ord) AS v FROM defer.enqueue_many($1, $2)',
		['app.send_invoice', JSON.stringify([{ args: [1] }, { args: [2], delay: '1 hour', priority: 3 }])]);
	ok(seen === 2, 'many at once', seen);
	const before = await run('SELECT count(*) AS v FROM defer.jobs', []);
	await rollback('SELECT defer.enqueue($1, $2)', ['app.send_invoice', '[1]']);
	seen = await run('SELECT count(*) AS v FROM defer.jobs', []);
	ok(seen === before, 'a rollback takes the job back', seen);
	for (const body of ['text', { order: 1 }]) {
		id = await run('SELECT defer.http($1, $2, $3, run_at => $4) AS v', ['POST', 'https://example.com/', body, later]);
		ok(id > 0, 'body of a request', id);
	}
	id = await run("SELECT defer.email($1, $2, $3, endpoint => 'mail', run_at => $4) AS v", ['a@example.com', 'Subject', 'Text', later]);
	ok(id > 0, 'one recipient', id);
	for (const limit of [5, 'none'])
		await run('SELECT defer.set_group($1, queue => $2, concurrency => $3) AS v', ['acme', 'tenants', limit]);
	ok(true, 'limit of a group');
	id = await run('SELECT defer.later($1, $2, $3) AS v', ['app.send_invoice', 9, 'fax']);
	seen = await run("SELECT defer.await($1, '60 s') AS v", [id]);
	ok(seen === 'fax 9', 'later: a number and a text', seen);
	id = await run('SELECT defer.enqueue($1) AS v', ['remote']);
	let token;
	while (!token)
		token = await run('SELECT (SELECT token FROM defer.take(ARRAY[$1])) AS v', ['remote']);
	await run('SELECT defer.complete($1, $2, $3) AS v', [id, token, { width: 7 }]);
	seen = await run("SELECT result ->> 'width' AS v FROM defer.jobs WHERE id = $1", [id]);
	ok(seen === '7', 'complete: an object', seen);
	await refused(() => run('SELECT defer.enqueue($1, $2) AS v', ['app.send_invoice', '["x"]']),
		'cannot be converted to type integer', 'an argument that is not right is an error of the call');
}

async function withPg() {
	const { Pool } = require('pg');
	const pool = new Pool({ connectionString: url });
	const run = async (sql, values) => (await pool.query(sql, values)).rows[0].v;
	const rollback = async (sql, values) => {
		const client = await pool.connect();
		await client.query('BEGIN');
		await client.query(sql, values);
		await client.query('ROLLBACK');
		client.release();
	};

	await fenced(run, async () => {
		const client = await pool.connect();
		try {
			await client.query('BEGIN');
			await client.query(effect);
			await client.query('SAVEPOINT s');
			await client.query(lost).catch(() => client.query('ROLLBACK TO s'));
			await client.query('COMMIT');
		} finally {
			client.release(true);
		}
	});
	await common(run, rollback);
	const two = ['a@example.com', 'b@example.com'];
	await refused(() => run("SELECT defer.email($1, 's', 'b', endpoint => 'mail') AS v", [two]), 'the text of an array',
		'an array of recipients needs its type');
	const id = await run("SELECT defer.email($1::text[], 's', 'b', endpoint => 'mail', run_at => $2) AS v", [two, later]);
	ok(id > 0, 'with its type it is one', id);
	await refused(() => run("SELECT defer.enqueue('app.send_invoice', $1) AS v", [[1]]), 'invalid input syntax for type json',
		'an array of arguments needs JSON.stringify()');
	const waiting = await run("SELECT defer.enqueue('app.send_invoice', '[1]', after => $1) AS v", [[id]]);
	ok(await run('SELECT state AS v FROM defer.jobs WHERE id = $1', [waiting]) === 'waiting', 'an array of ids');
	await pool.end();
}

async function withKnex() {
	const knex = require('knex')({ client: 'pg', connection: url });
	const numbered = (sql, values) => {
		const given = [];

		return [sql.replace(/\$(\d)/g, (_, n) => { given.push(values[n - 1]); return '?'; }), given];
	};

	await fenced(async (sql) => (await knex.raw(sql)).rows[0].v, () => knex.transaction(async (trx) => {
		await trx.raw(effect);
		await trx.transaction((nested) => nested.raw(lost)).catch(() => {});
	}));
	await common(async (sql, values) => (await knex.raw(...numbered(sql, values))).rows[0].v, async (sql, values) => {
		await knex.transaction(async (trx) => {
			await trx.raw(...numbered(sql, values));
			throw new Error('undone');
		}).catch((error) => { if (error.message !== 'undone') throw error; });
	});
	const rows = await knex.withSchema('defer').table('jobs').where({ state: 'scheduled' }).limit(1);
	ok(rows.length === 1, 'the view defer.jobs');
	await knex.destroy();
}

async function withDrizzle() {
	const { drizzle } = require('drizzle-orm/node-postgres');
	const { sql } = require('drizzle-orm');
	const { Pool } = require('pg');
	const pool = new Pool({ connectionString: url });
	const db = drizzle(pool);
	const query = (text, values) => sql.join(text.split(/\$(\d)/).map((part, i) => i % 2 ? sql.param(values[part - 1]) : sql.raw(part)));

	await fenced(async (text) => (await db.execute(sql.raw(text))).rows[0].v, () => db.transaction(async (tx) => {
		await tx.execute(sql.raw(effect));
		await tx.transaction((nested) => nested.execute(sql.raw(lost))).catch(() => {});
	}));
	await common(async (text, values) => (await db.execute(query(text, values))).rows[0].v, async (text, values) => {
		await db.transaction(async (tx) => {
			await tx.execute(query(text, values));
			tx.rollback();
		}).catch((error) => { if (!/rollback/i.test(error.message)) throw error; });
	});
	await pool.end();
}

async function withPrisma() {
	const { PrismaClient } = require('./prisma/node_modules/@prisma/client');
	const { PrismaPg } = require('./prisma/node_modules/@prisma/adapter-pg');
	const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) });
	// what returns nothing has no row that Prisma can read
	const run = async (sql, values) => sql.includes('defer.set_group') ? db.$executeRawUnsafe(sql, ...values) :
		(await db.$queryRawUnsafe(sql, ...values))[0].v;

	await fenced(run, () => db.$transaction(async (tx) => {
		await tx.$executeRawUnsafe(effect);
		await tx.$executeRawUnsafe('SAVEPOINT s');
		await tx.$queryRawUnsafe(lost).catch(() => tx.$executeRawUnsafe('ROLLBACK TO s'));
	}));
	await common(run, async (sql, values) => {
		await db.$transaction(async (tx) => {
			await tx.$queryRawUnsafe(sql, ...values);
			throw new Error('undone');
		}).catch((error) => { if (error.message !== 'undone') throw error; });
	});
	const order = { invoice_id: 42 };
	const [{ id }] = await db.$queryRaw`SELECT defer.enqueue('app.send_invoice', ${order}, run_at => ${later}) AS id`;
	ok(id > 0, 'a template with an object', String(id));
	const [{ interval }] = await db.$queryRaw`SELECT duration::text AS interval FROM defer.jobs WHERE id = ${id}`;
	ok(interval === null, 'an interval as text', interval);
	await refused(() => run("SELECT defer.pause_queue('tenants') AS v", []), 'void', 'what returns nothing cannot be read');
	await db.$executeRaw`SELECT defer.configure('app.send_invoice', max_attempts => 3)`;
	ok(true, 'it can be executed');
	await db.$disconnect();
}

({ 'node-postgres': withPg, knex: withKnex, drizzle: withDrizzle, prisma: withPrisma })[driver]()
	.then(() => console.log(`1..${count}`))
	.catch((error) => { console.log(`not ok ${++count} - ${driver}: ${error.stack}`); process.exit(1); });
