import assert from 'node:assert/strict';
import { resolveRouterConfig } from '../../src/contract.ts';
import { gridSize, overlapsKernelBefore, specialize } from '../../src/hip/kernel/specialization.ts';

const TARGET = { vendor: 'nvidia', architecture: 'sm_90', waveSize: 32 } as const;

describe('launches that overlap the kernel before', () => {
  const formOf = (experts: number, topK: number, logitsDtype: 'bf16' | 'f32', tokens: number) =>
    specialize(resolveRouterConfig({ experts, topK, logitsDtype }), TARGET, { tokens });

  it('are small ones', () => {
    for (const tokens of [1, 128, 1024]) {
      assert.ok(overlapsKernelBefore(formOf(128, 4, 'bf16', tokens), tokens), `T = ${tokens}`);
    }
    for (const tokens of [16384, 65536]) {
      assert.ok(!overlapsKernelBefore(formOf(128, 4, 'bf16', tokens), tokens), `T = ${tokens}`);
    }
    const form = formOf(128, 4, 'f32', 1024);
    assert.ok(gridSize(form, 1024) * form.threadsPerBlock > 512 * 32);
    assert.ok(!overlapsKernelBefore(form, 1024));
  });

  it('do not read rows twice', () => {
    const form = formOf(384, 8, 'bf16', 4096);
    assert.ok(form.searchesChunks);
    assert.ok(!overlapsKernelBefore(form, 64));
  });
});
