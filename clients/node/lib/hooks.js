// How Node.js finds and reads the files of background functions: imports without an ending, as bundlers allow them, and
// TypeScript on versions that do not run it themselves. The same functions serve registerHooks() and register(), as they
// never look at what the next hook returns.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ENDINGS = ['.ts', '.mts', '.js', '.mjs', '.cjs'];
const TYPESCRIPT = /\.[mc]?ts$/;
const isFile = (path) => existsSync(path) && statSync(path).isFile();

// The file that is meant, or null: as it stands
function found(path) {
	if (isFile(path))
		return null;
	// "./x.js" may be what "./x.ts" is compiled to
	const source = path.replace(/\.([mc]?)js$/, '.$1ts');
	const tried = [...(source === path ? [] : [source]), ...ENDINGS.map((ending) => path + ending), ...ENDINGS.map((ending) => `${path}/index${ending}`)];

	return tried.find(isFile) ?? null;
}

export function resolve(specifier, context, nextResolve) {
	if (/^(\.{1,2}\/|\/|file:)/.test(specifier) && context.parentURL?.startsWith('file:') && !context.parentURL.includes('/node_modules/')) {
		const path = found(fileURLToPath(new URL(specifier, context.parentURL)));

		if (path)
			return nextResolve(pathToFileURL(path).href, context);
	}
	return nextResolve(specifier, context);
}

let compile = null;

// With what the project has installed
function compiler(path) {
	for (const from of [path, `${process.cwd()}/package.json`]) {
		const require = createRequire(from);

		try {
			const typescript = require('typescript');

			if (typescript.transpileModule) {
				return (source, fileName) => typescript.transpileModule(source, { fileName, compilerOptions: {
					module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2022, sourceMap: false,
					inlineSourceMap: true } }).outputText;
			}
		} catch {}
		try {
			const esbuild = require('esbuild');

			return (source, sourcefile) => esbuild.transformSync(source, { loader: 'ts', format: 'esm', sourcefile, sourcemap: 'inline' }).code;
		} catch {}
	}
	throw new Error(`Node.js ${process.versions.node} does not run TypeScript (22.18 and later do), and the project has nothing that compiles it: npm install --save-dev typescript@5`);
}

export function load(url, context, nextLoad) {
	const path = url.startsWith('file:') ? url.replace(/[?#].*/, '') : '';

	if (process.features.typescript || !TYPESCRIPT.test(path) || path.includes('/node_modules/'))
		return nextLoad(url, context);
	const file = fileURLToPath(path);

	compile ??= compiler(file);
	return { format: 'module', shortCircuit: true, source: compile(readFileSync(file, 'utf8'), file) };
}
