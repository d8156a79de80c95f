import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const KERNELS = new URL('../../kernels/', import.meta.url);

describe('MXFP4 kernel', () => {
  it('is built byte for byte from its source', async function () {
    const { buildKernel } = (await import(new URL('build.mjs', KERNELS).href)) as {
      readonly buildKernel: (name: string) => Uint8Array;
    };
    let built: Uint8Array;
    try {
      built = buildKernel('mxfp4_experts');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw error;
      }
      console.log('    skipped: clang-22 and wasm-ld-22 are needed to build it');
      this.skip();
    }
    assert.deepEqual(Buffer.from(built), readFileSync(new URL('mxfp4_experts.wasm', KERNELS)));
  });
});
