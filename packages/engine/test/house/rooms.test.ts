import assert from 'node:assert/strict';

interface Package {
  readonly name: string;
  readonly rows: readonly (readonly [room: string, imports: readonly string[]])[];
  readonly files: ReadonlyMap<string, string>;
  readonly dependencies: readonly string[];
}

interface Check {
  checkRooms(): Promise<void>;
  faultsOf(packages: readonly Package[]): readonly string[];
  importsOf(text: string): readonly string[];
}

const load = async (): Promise<Check> =>
  (await import(new URL('../../../../scripts/check-rooms.mjs', import.meta.url).href)) as Check;

/** A house of two packages in which everything is right. */
const GROUND: Package = {
  name: 'ground',
  rows: [['index.ts', []]],
  files: new Map([['src/index.ts', '']]),
  dependencies: [],
};
const TOP: Package = {
  name: 'top',
  rows: [
    ['errors.ts', []],
    ['disk/**', ['errors.ts']],
    ['net', ['@switchyard/ground', 'errors.ts']],
    ['net/open.ts', ['*']],
  ],
  files: new Map([
    ['src/errors.ts', ''],
    ['src/disk/disk.ts', "import { Fault } from '../errors.ts';\nimport './deep/block.ts';\n"],
    ['src/disk/deep/block.ts', ''],
    ['src/net/net.ts', "import type { Ground } from '@switchyard/ground';\nimport { Fault } from '../errors.ts';\n"],
    ['src/net/open.ts', "export { disk } from '../disk/disk.ts';\nexport * from './net.ts';\n"],
    ['test/net.test.ts', "import '../src/disk/disk.ts';\nimport '../../ground/test/x.ts';\n"],
  ]),
  dependencies: ['@switchyard/ground'],
};

/** TOP with other text in some files, and other rows. */
const changed = (files: Readonly<Record<string, string>>, rows = TOP.rows): Package => ({
  ...TOP,
  rows,
  files: new Map([...TOP.files, ...Object.entries(files)]),
});

describe('The rooms of the packages', () => {
  let check: Check;
  before(async () => {
    check = await load();
  });

  const faults = (top: Package): readonly string[] => check.faultsOf([GROUND, top]);

  it('are those of the table, import what their row names, and no files import each other in a circle', async () => {
    await check.checkRooms();
  });

  it('are in order where folders, files and folders with all below them have rows', () => {
    assert.deepEqual(faults(TOP), []);
  });

  const wrong: readonly (readonly [what: string, top: Package, message: RegExp])[] = [
    ['a folder without a row', changed({ 'src/new/new.ts': '' }), /src\/new has no row/],
    ['a file of src itself without a row', changed({ 'src/new.ts': '' }), /src\/new\.ts has no row/],
    ['a row without a folder', changed({}, [...TOP.rows, ['gone', []]]), /gone has a row and no files/],
    [
      'a row that imports one below it',
      changed({}, [['errors.ts', ['net']], ...TOP.rows.slice(1)]),
      /no room of that name/,
    ],
    [
      'a row that imports a package on which its own does not stand',
      { ...changed({}), dependencies: [] },
      /net may import @switchyard\/ground · the package does not stand on it/,
    ],
    [
      'an import up',
      changed({ 'src/errors.ts': "import { disk } from './disk/disk.ts';" }),
      /src\/errors\.ts imports src\/disk\/disk\.ts · errors\.ts may not/,
    ],
    [
      'a type import up',
      changed({ 'src/errors.ts': "import type { Open } from './net/open.ts';" }),
      /errors\.ts may not import net\/open\.ts/,
    ],
    [
      'the type of an import() up',
      changed({ 'src/errors.ts': "export type Open = import('./net/open.ts').Open;" }),
      /errors\.ts may not import net\/open\.ts/,
    ],
    [
      'a file that imports what the room of its folder may not',
      changed({ 'src/net/net.ts': "import '../disk/disk.ts';" }),
      /net may not import disk\/\*\*/,
    ],
    [
      'a package that the row does not name',
      changed({ 'src/disk/deep/block.ts': "import '@switchyard/ground/files';" }),
      /block\.ts imports @switchyard\/ground · disk\/\*\* may not/,
    ],
    [
      'a package on which the own does not stand, in a test',
      changed({ 'test/net.test.ts': "import '@switchyard/engine';" }),
      /test\/net\.test\.ts imports @switchyard\/engine/,
    ],
    [
      "another package's files",
      changed({ 'src/net/net.ts': "import '../../../ground/src/index.ts';" }),
      /it is of another package/,
    ],
    [
      'a test',
      changed({ 'src/net/open.ts': "import '../../test/net.test.ts';" }),
      /may not import test\/net\.test\.ts/,
    ],
    ['what is not there', changed({ 'src/net/open.ts': "import './nothing.ts';" }), /there is no such file/],
    [
      'a circle of files in one room, one of them a type import over several lines',
      changed({
        'src/disk/disk.ts': "import { block } from './deep/block.ts';",
        'src/disk/deep/block.ts': "import type {\n  Disk,\n} from '../disk.ts';",
      }),
      /in a circle · src\/disk\/disk\.ts -> src\/disk\/deep\/block\.ts -> src\/disk\/disk\.ts/,
    ],
  ];
  for (const [what, top, message] of wrong) {
    it(`are refused with ${what}`, () => {
      assert.match(faults(top).join('\n'), message);
    });
  }

  it('are read from every form of import, and from no comment', () => {
    const text = [
      '/**',
      " * import { no } from 'comment';",
      ' */',
      "// import 'comment';",
      "import 'plain';",
      "import one from 'default';",
      "import * as all from 'namespace';",
      'import {',
      '  type A,',
      '  b,',
      "} from 'lines';",
      "import type { T } from 'types';",
      "export { x } from 'named-export';",
      "export * from 'star-export';",
      "export type { U } from 'type-export';",
      "const later = await import('dynamic');",
      "type V = import('import-type').V;",
      "export const text = 'from';",
      "export function f(): string { return 'x'; }",
    ].join('\n');
    const modules = ['plain', 'default', 'namespace', 'lines', 'types', 'named-export', 'star-export', 'type-export'];
    assert.deepEqual([...check.importsOf(text)].sort(), [...modules, 'dynamic', 'import-type'].sort());
  });
});
