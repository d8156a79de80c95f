import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type LibraryEntry, chooseLibrary, nativeLibraries } from '../../../src/runners/native/library.ts';
import { runnerCases } from '../../../src/runners/suite/index.ts';
import { ARM64_PROCESSORS, EmulatedNode } from './emulated-node.ts';
import type { EmulatedSuiteLine, EmulatedSuiteRequest } from './emulated-suite-process.ts';
import { NATIVE_SUITE } from './native-suite.ts';

const PROGRAM = fileURLToPath(new URL('./emulated-suite-process.ts', import.meta.url));
const PREBUILT = new URL('../../../kernels/native/prebuilt/', import.meta.url);

/**
 * Instructions of which a copy of a library has another: the bits that tell one, those that are changed, and the section of
 * the suite that has to find it.
 */
const SABOTAGES: Readonly<Record<string, { mask: number; code: number; change: number; section: string }>> = {
  // SDOT becomes UDOT.
  'linux-arm64-dotprod.so': { mask: 0xffe0fc00, code: 0x4e809400, change: 0x20000000, section: 'golden' },
  // SMMLA, for rows by twos, becomes UMMLA: only rows in company are wrong.
  'linux-arm64-i8mm.so': { mask: 0xffe0fc00, code: 0x4e80a400, change: 0x20000000, section: 'company' },
};

type CaseLine = Extract<EmulatedSuiteLine, { readonly section: string }>;

describe('the runner suite in an emulated arm64', function () {
  this.timeout(1_200_000);
  let node: EmulatedNode;
  let folder: string;

  before(async function () {
    const started = await EmulatedNode.start();
    if (typeof started === 'string') {
      console.log(`    skipped: ${started} is needed`);
      this.skip();
    } else {
      node = started;
      folder = mkdtempSync(join(tmpdir(), 'switchyard-emulated-test-'));
    }
  });
  after(() => {
    node?.[Symbol.dispose]();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  async function run(processor: string, request: EmulatedSuiteRequest) {
    const [runners, cases]: [string[], CaseLine[]] = [[], []];
    await node.run(processor, PROGRAM, [JSON.stringify(request)], (text) => {
      const line = JSON.parse(text) as EmulatedSuiteLine;
      if ('runner' in line) runners.push(line.runner);
      else cases.push(line);
    });
    return { runners: new Set(runners), cases };
  }

  for (const [processor, features] of Object.entries(ARM64_PROCESSORS)) {
    const readText = (): string => `Features\t: ${features.join(' ')}\n`;
    const library = chooseLibrary(nativeLibraries(), { platform: 'linux', arch: 'arm64', readText });
    const name = library.file.replace('.so', '');

    it(`passes on a ${processor}, whose library is ${library.file}`, async () => {
      const { runners, cases } = await run(processor, {});
      assert.deepEqual([...runners], [`native (${name})`]);
      assert.deepEqual(
        cases.filter(({ problem }) => problem !== null),
        [],
      );
      assert.deepEqual(
        cases.map((found) => found.name),
        runnerCases(NATIVE_SUITE).map((expected) => expected.name),
      );
      const seconds = cases.reduce((sum, found) => sum + found.seconds, 0);
      console.log(`      ${cases.length} cases in ${Math.round(seconds)} s`);
    });

    it(`finds another instruction in ${library.file}`, async () => {
      const sabotage = SABOTAGES[library.file];
      assert.ok(sabotage !== undefined, 'a library needs a sabotage');
      const { runners, cases } = await run(processor, {
        sections: [sabotage.section],
        library: sabotaged(library, sabotage),
      });
      assert.equal(runners.size, 1);
      assert.ok(cases.some(({ problem }) => problem !== null));
    });
  }

  it('has a processor for every library of arm64', () => {
    const ofArm64 = nativeLibraries().filter(({ arch }) => arch === 'arm64');
    assert.deepEqual(ofArm64.map(({ file }) => file).toSorted(), Object.keys(SABOTAGES).toSorted());
  });

  /** A copy of a library with other instructions, as the manifest would list it. */
  function sabotaged(library: LibraryEntry, { mask, code, change }: (typeof SABOTAGES)[string]): LibraryEntry {
    const bytes = readFileSync(new URL(library.file, PREBUILT));
    let changed = 0;
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      const instruction = bytes.readUInt32LE(at);
      if ((instruction & mask) >>> 0 !== code) continue;
      bytes.writeUInt32LE((instruction ^ change) >>> 0, at);
      changed++;
    }
    assert.ok(changed > 0, 'the library has the instruction');
    const path = join(folder, library.file);
    writeFileSync(path, bytes);
    return { ...library, file: pathToFileURL(path).href, sha256: createHash('sha256').update(bytes).digest('hex') };
  }
});
