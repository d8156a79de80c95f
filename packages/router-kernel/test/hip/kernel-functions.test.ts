/** What NVRTC refuses and offline compilers let pass. */

import assert from 'node:assert/strict';
import { kernelSource } from '../../src/hip/kernel/source.ts';

/** A function at the start of a line that says nowhere that it is the device's. */
const HOST_FUNCTION =
  /^(?!.*(?:__device__|__global__|ROUTER_INLINE|#define))(?:template <[^>]*>\s*)?(?:static |inline |constexpr )*[A-Za-z]\w*[ *&]+\w+\([^;{}]*\)\s*\{/gm;

describe('the functions of kernels', () => {
  for (const name of ['topk_gating_softmax', 'dispatch_plan', 'gated_router', 'gate_projection'] as const) {
    it(`are all the device's in ${name}`, () => {
      assert.deepEqual(kernelSource(name).match(HOST_FUNCTION) ?? [], []);
    });
  }

  it('are found where they are not', () => {
    const [found] =
      'namespace n {\n\nconstexpr u32 bytes_of(int rows) {\n  return 4 * rows;\n}\n'.match(HOST_FUNCTION) ?? [];
    assert.match(found ?? '', /bytes_of/);
  });
});
