import assert from 'node:assert/strict';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import { specialize } from '../../src/hip/kernel/specialization.ts';

const NVIDIA = { vendor: 'nvidia', architecture: 'sm_90', waveSize: 32 } as const;
const AMD = { vendor: 'amd', architecture: 'gfx942', waveSize: 64 } as const;

describe('when the kernel after may begin', () => {
  const config = resolveRouterConfig({ experts: 128, topK: 4, logitsDtype: 'bf16' });

  it('is told in a symbol of its own, since the code differs', () => {
    const early = specialize(config, NVIDIA, { tokens: 128 });
    assert.equal(early.defines['ROUTER_EARLY_TRIGGER'], 1);
    assert.match(early.symbol, /_trigger_/);
    const late = specialize(config, NVIDIA, { tokens: 1024 });
    assert.equal(late.defines['ROUTER_EARLY_TRIGGER'], 0);
    assert.doesNotMatch(late.symbol, /trigger/);
  });

  it('is later with more winners, whose search takes longer', () => {
    const form = specialize(resolveRouterConfig({ experts: 128, topK: 8 }), NVIDIA, { tokens: 128 });
    assert.equal(form.defines['ROUTER_EARLY_TRIGGER'], 2);
    assert.match(form.symbol, /_latetrigger_/);
  });

  it('does not concern AMD, which has nothing of the kind', () => {
    for (const tokens of [1, 128, 1024, 65536]) {
      assert.equal(specialize(config, AMD, { tokens }).defines['ROUTER_EARLY_TRIGGER'], 0, `T = ${tokens}`);
    }
  });
});
