/**
 * Holds the packages against the table of their rooms (rooms.mjs): every folder has a row and every row a folder, every
 * import (type imports too) goes to a room that the row names, and no files import each other in a circle.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join, posix, relative, sep } from 'node:path';
import { ROOT, StepFailed } from './commands.mjs';
import { ROOMS } from './rooms.mjs';

const SOURCE = /\.(?:ts|mts|mjs)$/u;
/** What is no code of the package. */
const PASSED_OVER = new Set(['node_modules', 'dist', 'dist-test', 'dist-bench']);
const SCOPE = '@switchyard/';
const EVERYTHING_ABOVE = '*';
const WITH_ALL_BELOW = '/**';

/**
 * One package: its rows, its files by their path from the package's folder, and what its manifest says it stands on.
 *
 * @typedef {object} Package
 * @property {string} name
 * @property {readonly import('./rooms.mjs').Row[]} rows
 * @property {ReadonlyMap<string, string>} files
 * @property {readonly string[]} dependencies
 */

/** Throws StepFailed with all faults of the repository. */
export async function checkRooms() {
  const faults = faultsOf(await Promise.all(Object.entries(ROOMS).map(([name, rows]) => readPackage(name, rows))));
  if (faults.length > 0) throw new StepFailed(`${faults.join('\n')}\nThe table of rooms is scripts/rooms.mjs.`);
}

/**
 * What is wrong, a line each.
 *
 * @param {readonly Package[]} packages in the order of their dependencies
 * @returns {string[]}
 */
export function faultsOf(packages) {
  return packages.flatMap((each, place) => {
    const below = new Set(packages.slice(0, place).map(({ name }) => SCOPE + name));
    const imports = new Map([...each.files].map(([file, text]) => [file, importsOf(text)]));
    return [...tableFaults(each, below), ...importFaults(each, imports), ...circles(each.name, imports)];
  });
}

/** The modules that a file imports or exports from, types and `import()` of a plain string included. */
export function importsOf(text) {
  const code = text.replaceAll(/^[ \t]*(?:\/\*[^]*?\*\/|\/\/.*)/gmu, '');
  const found = [
    ...code.matchAll(/^(?:import|export)\s[^'"`;]*?\bfrom\s*(?<quote>['"])(?<module>[^'"\n]+)\k<quote>/gmu),
    ...code.matchAll(/^import\s*(?<quote>['"])(?<module>[^'"\n]+)\k<quote>/gmu),
    ...code.matchAll(/\bimport\(\s*(?<quote>['"])(?<module>[^'"\n]+)\k<quote>/gu),
  ];
  return [...new Set(found.map(({ groups }) => groups.module))];
}

/** Rows without files, rows that import what is not above them, folders without a row, packages below that are none. */
function tableFaults({ name, rows, files, dependencies }, below) {
  const faults = [];
  const sources = [...files.keys()].filter((file) => file.startsWith('src/')).map((file) => file.slice('src/'.length));
  const above = new Set();
  for (const [room, imports] of rows) {
    if (!sources.some((file) => roomOf(rows, file) === room)) {
      faults.push(`${name}: the room ${room} has a row and no files · take the row away, or correct its name`);
    }
    for (const used of imports) {
      if (used === EVERYTHING_ABOVE || above.has(used)) continue;
      if (used.startsWith(SCOPE)) {
        if (below.has(used) && dependencies.includes(used)) continue;
        faults.push(
          `${name}: ${room} may import ${used} · the package does not stand on it · import what it stands on`,
        );
      } else {
        faults.push(`${name}: ${room} may import ${used} · no room of that name stands above it · move the row down`);
      }
    }
    above.add(room);
  }
  const homeless = new Set(sources.filter((file) => roomOf(rows, file) === undefined).map(placeOf));
  for (const place of homeless) {
    faults.push(`${name}: src/${place} has no row in the table of rooms · add one where it stands`);
  }
  return faults;
}

/** Imports of rooms and packages that the rows do not name. */
function importFaults({ name, rows, files, dependencies }, imports) {
  const faults = [];
  const allowed = new Map();
  for (const [place, [room, used]] of rows.entries()) {
    const above = used.includes(EVERYTHING_ABOVE) ? rows.slice(0, place).map(([other]) => other) : [];
    allowed.set(room, new Set([room, ...above, ...used]));
  }
  for (const [file, modules] of imports) {
    const room = file.startsWith('src/') ? roomOf(rows, file.slice('src/'.length)) : undefined;
    for (const module of modules) {
      const target = resolved(file, module);
      if (target === null) {
        const owner = module.startsWith(SCOPE) ? module.split('/', 2).join('/') : null;
        if (owner === null || owner === SCOPE + name) continue;
        if (!dependencies.includes(owner)) {
          faults.push(
            `${name}: ${file} imports ${owner} · the package does not stand on it · import what it stands on`,
          );
        } else if (room !== undefined && !allowed.get(room).has(owner)) {
          faults.push(`${name}: ${file} imports ${owner} · ${room} may not · see its row`);
        }
      } else if (room === undefined) {
        // Tests and scripts may use the files of other packages, and what is beside the packages.
        continue;
      } else if (target.startsWith('../')) {
        faults.push(`${name}: ${file} imports ${module} · it is of another package · import the package by its name`);
      } else {
        const other = target.startsWith('src/') ? roomOf(rows, target.slice('src/'.length)) : undefined;
        if (!files.has(target)) faults.push(`${name}: ${file} imports ${module} · there is no such file · correct it`);
        else if (other === undefined || !allowed.get(room).has(other)) {
          faults.push(`${name}: ${file} imports ${target} · ${room} may not import ${other ?? target} · see its row`);
        }
      }
    }
  }
  return faults;
}

/** Circles of files that import each other: one for each file that a search comes back to. */
function circles(name, imports) {
  const faults = [];
  const done = new Set();
  const path = [];
  const visit = (file) => {
    const start = path.indexOf(file);
    if (start !== -1) {
      const circle = [...path.slice(start), file].join(' -> ');
      faults.push(
        `${name}: files import each other in a circle · ${circle} · move what both need to a file of its own`,
      );
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const module of imports.get(file) ?? []) {
      const target = resolved(file, module);
      if (target !== null && imports.has(target)) visit(target);
    }
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) visit(file);
  return faults;
}

/** The room of a file of `src`: the row that says most about it. */
function roomOf(rows, file) {
  const names = new Set(rows.map(([room]) => room));
  if (names.has(file)) return file;
  const folder = posix.dirname(file);
  if (names.has(folder)) return folder;
  for (let outer = folder; outer !== '.'; outer = posix.dirname(outer)) {
    if (names.has(outer + WITH_ALL_BELOW)) return outer + WITH_ALL_BELOW;
  }
  return undefined;
}

/** Where a row is missing: the folder, or the file where it lies in `src` itself. */
const placeOf = (file) => (file.includes('/') ? posix.dirname(file) : file);

/** The path of a relative import from the package's folder; null for modules that are found by name. */
const resolved = (file, module) => (module.startsWith('.') ? posix.join(posix.dirname(file), module) : null);

/** @returns {Promise<Package>} */
async function readPackage(name, rows) {
  const folder = join(ROOT, 'packages', name);
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const paths = (await readdir(folder, { withFileTypes: true })).flatMap((entry) =>
    entry.isDirectory() && !PASSED_OVER.has(entry.name) ? [join(folder, entry.name)] : [],
  );
  const files = new Map();
  for (const path of (await Promise.all(paths.map(sourcesBelow))).flat().sort()) {
    files.set(relative(folder, path).split(sep).join('/'), await readFile(path, 'utf8'));
  }
  const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  return { name, rows, files, dependencies };
}

async function sourcesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.flatMap((entry) =>
    entry.isFile() && SOURCE.test(entry.name) ? [join(entry.parentPath ?? entry.path, entry.name)] : [],
  );
}
