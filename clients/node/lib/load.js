// The files of a folder: each has a background function of its own name as its default export.
import { readdirSync, statSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DeferError } from './errors.js';
import { declared } from './functions.js';
import './register.js';

const FILE = /^[^_.].*\.(ts|mts|js|mjs|cjs)$/;
const NOT_ONE = /\.d\.m?ts$|\.(test|spec)\.[a-z]+$/;

function filesOf(path) {
	let what;

	try {
		what = statSync(path);
	} catch (error) {
		throw new DeferError(`there is no ${path}`, { cause: error });
	}
	if (!what.isDirectory())
		return [path];
	const files = readdirSync(path).filter((file) => FILE.test(file) && !NOT_ONE.test(file)).sort();

	if (files.length === 0)
		throw new DeferError(`the folder ${path} has no files of functions`);
	return files.map((file) => join(path, file));
}

/** The declarations of all files of the folders; errors of all of them together. */
export async function loadFolders(folders) {
	const declarations = new Map();
	const errors = [];

	for (const file of folders.flatMap((folder) => filesOf(resolve(folder)))) {
		const name = basename(file, extname(file));
		const exported = await import(pathToFileURL(file).href);
		// of a CommonJS file the exports are the default
		const declaration = declared(exported.default) ?? declared(exported.default?.default);

		if (!declaration)
			errors.push(`${file}: the default export is not a background function: export default defer(${name})`);
		else if (declaration.name !== name)
			errors.push(`${file}: the file is named ${name}, and the function ${declaration.name}`);
		else if (declarations.has(name))
			errors.push(`${file}: there is another file for the function ${name}`);
		else
			declarations.set(name, declaration);
	}
	if (errors.length > 0)
		throw new DeferError(errors.join('\n'));
	return [...declarations.values()];
}
