/**
 * The native runner's libraries, from C, one for each family of processors, with a manifest that says what each needs. The
 * sources include no header of a system, so that every machine with LLVM 22 builds the same bytes for all of them.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRoot } from './artefacts.mjs';
import { missingOf } from './tools.mjs';

/** The folder of the sources; what is built goes to `prebuilt` in it. */
export const NATIVE_SOURCES = 'packages/engine/kernels/native';
const [CLANG, LINKER] = ['clang-22', 'ld.lld-22'];

/**
 * A library. The best comes first: a processor takes the first of its architecture whose `needs` it has, as
 * /proc/cpuinfo names them.
 * @typedef {{ readonly name: string, readonly arch: 'x64' | 'arm64', readonly target: string, readonly flags: readonly string[], readonly needs: readonly string[] }} NativeVariant
 */
const AVX2_NEEDS = ['avx2', 'fma', 'f16c', 'bmi1', 'bmi2'];
/** Of the levels of x86-64, what the libraries have no use for, and virtual machines often hide. */
const NOT_NEEDED = ['-mno-lzcnt', '-mno-movbe'];

/** @type {readonly NativeVariant[]} */
export const NATIVE_VARIANTS = [
  {
    name: 'linux-x64-avx512',
    arch: 'x64',
    target: 'x86_64-unknown-linux-gnu',
    // Vectors of 512 bits would otherwise be cut in two.
    flags: ['-march=x86-64-v4', ...NOT_NEEDED, '-mno-avx512cd', '-mavx512vnni', '-mprefer-vector-width=512'],
    needs: [...AVX2_NEEDS, 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512_vnni'],
  },
  {
    name: 'linux-x64-avx2',
    arch: 'x64',
    target: 'x86_64-unknown-linux-gnu',
    flags: ['-march=x86-64-v3', ...NOT_NEEDED],
    needs: AVX2_NEEDS,
  },
  {
    name: 'linux-arm64-i8mm',
    arch: 'arm64',
    target: 'aarch64-unknown-linux-gnu',
    flags: ['-march=armv8.2-a+dotprod+i8mm'],
    needs: ['asimd', 'asimddp', 'i8mm'],
  },
  {
    name: 'linux-arm64-dotprod',
    arch: 'arm64',
    target: 'aarch64-unknown-linux-gnu',
    flags: ['-march=armv8.2-a+dotprod'],
    needs: ['asimd', 'asimddp'],
  },
];

const COMPILE = [
  '-std=gnu17',
  '-O3',
  '-ffreestanding',
  '-fPIC',
  '-fvisibility=hidden',
  // Sums are the same bits in every library: what is fused is written so.
  '-ffp-contract=off',
  '-fno-math-errno',
  '-fno-stack-protector',
  '-fno-asynchronous-unwind-tables',
  '-fno-ident',
  '-Wall',
  '-Wextra',
  '-Werror',
  // Vectors that are larger than registers are passed to functions that are inlined, and to no others.
  '-Wno-psabi',
  '-c',
];
const LINK = [
  '-shared',
  '--strip-all',
  '--build-id=none',
  '--hash-style=gnu',
  '-z',
  'noexecstack',
  '-z',
  'now',
  // Where a worker is ended, koffi closes its libraries, in whose code the threads of a pool may still wait.
  '-z',
  'nodelete',
];

/** @type {import('./artefacts.mjs').KernelBuild} */
export const NATIVE_LIBRARIES = {
  name: 'native',
  missing: () => missingOf([CLANG, LINKER]),
  build: async () => {
    const folder = join(inRoot(NATIVE_SOURCES), 'prebuilt');
    const libraries = NATIVE_VARIANTS.map((variant) => ({ variant, bytes: linkLibrary(variant) }));
    const manifest = {
      libraries: libraries.map(({ variant: { name, arch, needs }, bytes }) => ({
        file: `${name}.so`,
        arch,
        needs,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      })),
    };
    return [
      ...libraries.map(({ variant, bytes }) => ({ path: join(folder, `${variant.name}.so`), bytes })),
      { path: join(folder, 'manifest.json'), bytes: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`) },
    ];
  },
};

/** The shared library of a variant. Throws where a tool is missing (ENOENT) or fails. */
export function linkLibrary({ target, flags }) {
  const sources = inRoot(NATIVE_SOURCES);
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-native-'));
  try {
    const objects = readdirSync(sources)
      .filter((name) => name.endsWith('.c'))
      .sort()
      .map((name) => {
        const object = join(folder, name.replace('.c', '.o'));
        // From the sources' folder, so that its path is in no byte of the object.
        execFileSync(CLANG, [`--target=${target}`, ...flags, ...COMPILE, name, '-o', object], { cwd: sources });
        return object;
      });
    const library = join(folder, 'library.so');
    execFileSync(LINKER, [...LINK, ...objects, '-o', library]);
    return readFileSync(library);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
