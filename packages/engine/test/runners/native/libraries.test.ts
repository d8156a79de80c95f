import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { NativeLibraryError } from '../../../src/runners/native/errors.ts';
import { chooseLibrary, loadNativeLibrary, nativeLibraries } from '../../../src/runners/native/library.ts';
import { processorFeatures } from '../../../src/runners/native/processor.ts';

const PREBUILT = new URL('../../../kernels/native/prebuilt/', import.meta.url);
const BUILD = new URL('../../../../../scripts/kernels/native-libraries.mjs', import.meta.url);

const AVX2 = 'fpu avx2 fma f16c bmi1 bmi2';
const AVX512 = `${AVX2} avx512f avx512bw avx512dq avx512vl avx512_vnni`;
const cpuinfo = (...processors: readonly string[]): string =>
  processors.map((flags, index) => `processor\t: ${index}\nflags\t\t: ${flags}\nbugs\t\t: none\n`).join('\n');
const ARM64 = 'fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp';
const arm64Cpuinfo = (features: string): string => `processor\t: 0\nFeatures\t: ${features}\nCPU part\t: 0xd0c\n`;
const linux = (text: string, arch = 'x64') => ({ platform: 'linux' as const, arch, readText: () => text });

describe('the native libraries that are committed', () => {
  it('are built byte for byte from their sources', async function () {
    this.timeout(240_000);
    const { NATIVE_LIBRARIES } = (await import(BUILD.href)) as {
      readonly NATIVE_LIBRARIES: {
        readonly missing: () => string[];
        readonly build: () => Promise<readonly { readonly path: string; readonly bytes: Uint8Array }[]>;
      };
    };
    const missing = NATIVE_LIBRARIES.missing();
    if (missing.length > 0) {
      console.log(`    skipped: ${missing.join(' and ')} are needed to build them`);
      this.skip();
    }
    const built = await NATIVE_LIBRARIES.build();
    assert.ok(built.length > 1);
    for (const { path, bytes } of built) assert.ok(readFileSync(path).equals(Buffer.from(bytes)), path);
  });

  it('are those that the manifest lists', () => {
    assert.ok(nativeLibraries().length > 0);
    for (const { file, sha256 } of nativeLibraries()) {
      assert.equal(
        createHash('sha256')
          .update(readFileSync(new URL(file, PREBUILT)))
          .digest('hex'),
        sha256,
        file,
      );
    }
  });

  it('are refused where a file is another than the manifest lists', () => {
    const [entry] = nativeLibraries();
    assert.ok(entry !== undefined);
    assert.throws(() => loadNativeLibrary({ ...entry, sha256: '0'.repeat(64) }), NativeLibraryError);
    assert.throws(() => loadNativeLibrary({ ...entry, file: 'no-such-library.so' }), NativeLibraryError);
  });
});

describe('the choice of a native library', () => {
  const chosen = (machine: ReturnType<typeof linux>): string => chooseLibrary(nativeLibraries(), machine).file;

  it('is the best that the processor has the features for', () => {
    assert.equal(chosen(linux(cpuinfo(AVX512, AVX512))), 'linux-x64-avx512.so');
    assert.equal(chosen(linux(cpuinfo(AVX2, AVX2))), 'linux-x64-avx2.so');
    assert.equal(chosen(linux(cpuinfo(AVX512.replace(' avx512_vnni', '')))), 'linux-x64-avx2.so');
  });

  it('is that for arm64 where its processors have dot products, and products of matrices before those', () => {
    assert.equal(chosen(linux(arm64Cpuinfo(`${ARM64} sve i8mm bf16`), 'arm64')), 'linux-arm64-i8mm.so');
    assert.equal(chosen(linux(arm64Cpuinfo(ARM64), 'arm64')), 'linux-arm64-dotprod.so');
    const old = linux(arm64Cpuinfo(ARM64.replace(' asimddp', '')), 'arm64');
    assert.throws(() => chosen(old), /without asimddp/);
  });

  it('counts only features of every processor', () => {
    assert.equal(chosen(linux(cpuinfo(AVX512, AVX2))), 'linux-x64-avx2.so');
    assert.deepEqual([...processorFeatures(() => cpuinfo('a b', 'b c'))], ['b']);
  });

  it('fails with the reason where there is none', () => {
    const refused = (machine: Parameters<typeof chooseLibrary>[1], reason: RegExp): void =>
      assert.throws(
        () => chooseLibrary(nativeLibraries(), machine),
        (error) => error instanceof NativeLibraryError && reason.test(error.message),
      );
    refused(linux(cpuinfo('fpu sse2')), /without avx2, fma/);
    refused(linux(''), /without avx2/);
    refused(linux(cpuinfo(AVX512), 'riscv64'), /linux, riscv64/);
    refused({ ...linux(cpuinfo(AVX512)), platform: 'darwin' }, /darwin, x64/);
    const unreadable = (): string => {
      throw new Error('no permission');
    };
    refused({ platform: 'linux', arch: 'x64', readText: unreadable }, /without avx2/);
  });
});
