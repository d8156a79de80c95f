import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeLibraries } from '../../../src/runners/native/library.ts';
import { ARM64_PROCESSORS, ARM64_ROOT, hasProgram, missingForArm64 } from './emulated-node.ts';
import { USABLE_LIBRARIES } from './usable-libraries.ts';

const KERNELS = fileURLToPath(new URL('../../../kernels/native/', import.meta.url));
const PROGRAM = fileURLToPath(new URL('./small-model.c', import.meta.url));
/** Threads, rows of decoding, rows of a prompt, steps, and sizes as small-model.c takes them. */
const CASES: Readonly<Record<string, readonly number[]>> = {
  'one row': [1, 1, 0, 6, 256, 128, 2, 8, 4, 8, 2, 64, 320, 16],
  'a wide row': [2, 1, 3, 2, 1056, 96, 2, 4, 2, 6, 2, 32, 77, 128],
  'eleven rows and prompts of 37': [3, 11, 37, 4, 160, 96, 3, 5, 2, 6, 2, 32, 77, 24],
  'sixteen heads of 80 to a key': [2, 3, 20, 3, 192, 64, 2, 3, 3, 16, 1, 80, 33, 1],
  'twenty-seven rows of few experts': [2, 27, 0, 3, 96, 64, 2, 3, 2, 6, 2, 32, 77, 24],
  'eighty rows of one expert': [3, 80, 0, 2, 64, 32, 2, 1, 1, 4, 2, 16, 40, 16],
};

describe('native libraries without Node.js', function () {
  this.timeout(60_000);
  let folder: string;

  before(function () {
    const missing = ['clang-22', 'ld.lld-22'].filter((name) => !hasProgram(name));
    if (missing.length > 0 || USABLE_LIBRARIES.length === 0) {
      console.log(`    skipped: ${missing.join(' and ') || 'a machine that runs a library'} is needed`);
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'switchyard-native-test-'));
  });
  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  /** Links the program with a library; gives its path. */
  function link(library: string, target: string): string {
    const program = join(folder, library.replace('.so', ''));
    // Products that are added are fused where that is written alone, as in the libraries.
    const compile = [`--target=${target}`, '-std=gnu17', '-O1', '-ffp-contract=off', '-fuse-ld=lld', '-Wno-psabi'];
    execFileSync('clang-22', [...compile, '-I', KERNELS, PROGRAM, join(KERNELS, 'prebuilt', library), '-o', program]);
    return program;
  }

  const run = (command: readonly string[], options: readonly number[]): string => {
    const [name = '', ...before] = command;
    return execFileSync(name, [...before, ...options.map(String)], { encoding: 'utf8' });
  };

  /** What the first library that this machine runs computes. */
  const expected = new Map<string, string>();
  function expectedOf(name: string, options: readonly number[]): string {
    const known = expected.get(name) ?? run([link(USABLE_LIBRARIES[0]?.file ?? '', 'x86_64-linux-gnu')], options);
    expected.set(name, known);
    return known;
  }

  for (const [name, options] of Object.entries(CASES)) {
    it(`compute the same bits, ${name}`, () => {
      const lines = expectedOf(name, options).trim().split('\n');
      assert.ok(lines.length > 1 && new Set(lines).size === lines.length, 'steps give logits of their own');
      assert.ok(!/nan|inf/.test(lines.join()), 'logits are numbers');
      for (const { file } of USABLE_LIBRARIES.slice(1)) {
        assert.equal(run([link(file, 'x86_64-linux-gnu')], options), expectedOf(name, options), file);
      }
    });
  }

  const arm64 = nativeLibraries().filter(({ arch }) => arch === 'arm64');
  for (const { file, needs } of arm64) {
    for (const [processor, features] of Object.entries(ARM64_PROCESSORS)) {
      if (!needs.every((feature) => features.includes(feature))) continue;
      it(`compute the same bits in an emulated ${processor}: ${file}`, function () {
        const missing = missingForArm64();
        if (missing.length > 0) {
          console.log(`      skipped: ${missing.join(' and ')} is needed`);
          this.skip();
        }
        const program = link(file, 'aarch64-linux-gnu');
        const emulator = ['qemu-aarch64', '-cpu', processor, '-L', ARM64_ROOT, program];
        for (const [name, options] of Object.entries(CASES)) {
          assert.equal(run(emulator, options), expectedOf(name, options), name);
        }
      });
    }
  }
});
