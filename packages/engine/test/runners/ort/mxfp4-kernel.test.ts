import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const KERNELS = new URL('../../../kernels/cpu/', import.meta.url);
const BUILD = new URL('../../../../../scripts/kernels/webassembly.mjs', import.meta.url);

for (const [title, name] of [
  ['MXFP4 kernel', 'mxfp4_experts'],
  ['kernel that converts weights', 'convert_weights'],
] as const) {
  describe(title, () => {
    it('is built byte for byte from its source', async function () {
      const { compileWebAssembly } = (await import(BUILD.href)) as {
        readonly compileWebAssembly: (source: string) => Uint8Array;
      };
      let built: Uint8Array;
      try {
        built = compileWebAssembly(fileURLToPath(new URL(`${name}.c`, KERNELS)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          throw error;
        }
        console.log('    skipped: clang-22 and wasm-ld-22 are needed to build it');
        this.skip();
      }
      assert.deepEqual(Buffer.from(built), readFileSync(new URL(`${name}.wasm`, KERNELS)));
    });
  });
}
