// One line a message, on standard error.
const LEVELS = ['debug', 'info', 'warn', 'error'];

/** { debug, info, warn, error }: those below the level do nothing. */
export function logger(level, write = (line) => process.stderr.write(`${line}\n`)) {
	const from = LEVELS.indexOf(level);

	if (from < 0)
		throw new Error(`log levels are ${LEVELS.join(', ')}`);
	return Object.fromEntries(LEVELS.map((name, at) => [name, at < from ? () => {}
		// a message of several lines stays one
		: (message) => write(`${new Date().toISOString()} ${name} ${String(message).replace(/\s*\n\s*/g, ' | ')}`)]));
}
