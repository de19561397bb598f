#!/usr/bin/env node
// The command defer-worker: runs the background functions of a folder.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { configure } from '../lib/database.js';
import { loadFolders } from '../lib/load.js';
import { logger } from '../lib/log.js';
import { Worker } from '../lib/worker.js';

const USAGE = `usage: defer-worker [OPTION ...] FOLDER|FILE ...

Runs the background functions of the files: each is named after its function, which is the default
export. Declares tasks and schedules in the database of DATABASE_URL, or else of PGHOST, PGDATABASE
and the like.

  --concurrency N    jobs at once (10)
  --connections N    connections for the transactions of jobs (as many, but at most 10)
  --database URL     instead of DATABASE_URL
  --queue NAME       only jobs of this queue; can be given several times
  --lease SECONDS    a worker that is dead loses its jobs after so long (60)
  --grace SECONDS    after SIGTERM jobs have so long to end, then they are given back (25)
  --app NAME         whose tasks and schedules these are (the name in package.json)
  --version N        of this deploy, a whole number (0): what a higher one has declared is left alone
  --prune            remove schedules that no file declares any more
  --name NAME        of this worker, for those who look
  --poll             look for jobs up to every second, for a pooler in transaction mode: otherwise
                     the server says when there are some, and a connection waits for that
  --once             end when there is no job to run
  --log-level LEVEL  debug, info, warn or error (info)

SIGTERM and SIGINT: takes no more jobs, lets those that run end, and exits; a second one gives them back.
Exit status: 0 after a stop, 1 after an error, 2 for wrong arguments.
`;

const OPTIONS = {
	concurrency: { type: 'string', default: '10' },
	connections: { type: 'string' },
	database: { type: 'string' },
	queue: { type: 'string', multiple: true },
	lease: { type: 'string', default: '60' },
	grace: { type: 'string', default: '25' },
	app: { type: 'string' },
	version: { type: 'string', default: '0' },
	prune: { type: 'boolean', default: false },
	name: { type: 'string' },
	poll: { type: 'boolean', default: false },
	once: { type: 'boolean', default: false },
	'log-level': { type: 'string', default: 'info' },
	help: { type: 'boolean', short: 'h', default: false },
};

function fail(status, message) {
	process.stderr.write(`defer-worker: ${message}\n`);
	process.exit(status);
}

function number(values, name, least, whole = true) {
	const value = Number(values[name]);

	if (values[name] !== undefined && !(value >= least && (!whole || Number.isInteger(value))))
		fail(2, `--${name} is a ${whole ? 'whole ' : ''}number, ${least} or more`);
	return values[name] === undefined ? undefined : value;
}

// Of the nearest package.json
function appName() {
	for (let folder = process.cwd(); ; folder = dirname(folder)) {
		try {
			const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

			if (name)
				return name;
		} catch {}
		if (folder === dirname(folder))
			return 'default';
	}
}

function options() {
	let parsed;

	try {
		parsed = parseArgs({ options: OPTIONS, allowPositionals: true });
	} catch (error) {
		fail(2, `${error.message}\n\n${USAGE}`);
	}
	const { values, positionals } = parsed;

	if (values.help) {
		process.stdout.write(USAGE);
		process.exit(0);
	}
	if (positionals.length === 0)
		fail(2, `no folder\n\n${USAGE}`);
	return {
		folders: positionals,
		database: values.database,
		concurrency: number(values, 'concurrency', 1),
		connections: number(values, 'connections', 1),
		lease: number(values, 'lease', 1, false),
		grace: number(values, 'grace', 0, false),
		version: number(values, 'version', 0),
		queues: values.queue,
		app: values.app ?? appName(),
		prune: values.prune,
		name: values.name,
		poll: values.poll,
		once: values.once,
		logLevel: values['log-level'],
	};
}

const { folders, database, logLevel, ...rest } = options();

try {
	const log = logger(logLevel);

	if (database)
		configure({ connectionString: database });
	const worker = new Worker({ ...rest, log, declarations: await loadFolders(folders) });

	process.on('SIGTERM', () => worker.stop());
	process.on('SIGINT', () => worker.stop());
	// An error that no handler waits for is not the end of the jobs beside it
	process.on('unhandledRejection', (error) => log.error(`a promise that nobody waits for: ${error?.stack ?? error}`));
	process.exit(await worker.run());
} catch (error) {
	fail(1, error.detail ? `${error.message}: ${error.detail}` : error.name === 'DeferError' || error.code ? error.message : error.stack);
}
