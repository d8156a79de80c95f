/**
 * Tests as plain JavaScript. What is in a package's `test` comes to `dist-test` beside it, where imports of `src` are
 * imports of `dist`: so tests, and the threads and processes that they start, need no loader, and run what users run.
 * Tests look at benchmarks too: `bench` comes to `dist-bench`.
 */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { transform } from 'esbuild';
import { ROOT } from '../commands.mjs';
import { PACKAGES } from '../packages.mjs';

const BUILT = { src: 'dist', test: 'dist-test', bench: 'dist-bench' };
/** What code imports of this repository, or makes a URL of, as esbuild prints it. */
const RELATIVE_MODULE = /(?<=\b(?:from |import |import\(|new URL\())"(\.{1,2}\/[^"]*\.ts)"/g;

/** Where a file of a package is once it is built. @param {string} path absolute */
export function builtPath(path) {
  const [packages, name, folder, ...rest] = relative(ROOT, path).split(sep);
  return join(ROOT, packages, name, BUILT[folder] ?? folder, ...rest).replace(/\.ts$/, '.js');
}

/** Builds the tests of every package. Files that are right already are left alone: another run may be using them. */
export async function buildTests() {
  await Promise.all(PACKAGES.map((name) => buildFolder(join(ROOT, 'packages', name))));
}

async function buildFolder(packageFolder) {
  const sources = [...(await filesOf(join(packageFolder, 'test'))), ...(await filesOf(join(packageFolder, 'bench')))];
  const wanted = new Set(sources.map(builtPath));
  await Promise.all(sources.map(buildFile));
  for (const folder of [BUILT.test, BUILT.bench]) {
    for (const path of await filesOf(join(packageFolder, folder))) if (!wanted.has(path)) await rm(path);
  }
}

async function buildFile(source) {
  const target = builtPath(source);
  const built = /\.(ts|mjs)$/.test(source) ? await toJavaScript(source) : await readFile(source);
  const found = await readFile(target).catch(() => null);
  if (found?.equals(built)) return;
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, built);
}

async function toJavaScript(source) {
  const { code } = await transform(await readFile(source, 'utf8'), {
    sourcefile: source,
    loader: source.endsWith('.ts') ? 'ts' : 'js',
    target: 'node20.19',
    sourcemap: 'inline',
    sourcesContent: false,
  });
  const folder = dirname(builtPath(source));
  return Buffer.from(
    code.replace(RELATIVE_MODULE, (_, specifier) => {
      const module = relative(folder, builtPath(resolve(dirname(source), specifier))).replaceAll(sep, '/');
      return JSON.stringify(module.startsWith('.') ? module : `./${module}`);
    }),
  );
}

async function filesOf(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
