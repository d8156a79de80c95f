import assert from 'node:assert/strict';
import { compileOffline, readKernelResources } from '@switchyard/gpu/offline';
import { skipWithoutLlvm } from '../../../../gpu/test/testing/skip-without.ts';
import { SMALL_CONFIG } from './small-model.ts';
import { allForms } from './kernel-forms.ts';

const target = { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 } as const;

describe("the text of the GPU runner's kernels", function () {
  this.timeout(120_000);
  const forms = allForms({ config: SMALL_CONFIG, target });

  it('includes nothing, is made of the same parts whoever asks, and asks for no macro that is not given', () => {
    for (const [name, { unit, arguments: list, symbol }] of forms) {
      const text = unit.source();
      assert.doesNotMatch(text, /#\s*include/, name);
      assert.equal(unit.source(), text, name);
      for (const [macro] of text.matchAll(/\b(?:MODEL|KERNEL|STEP|KV|ATTENTION)_[A-Z_]+\b/g)) {
        assert.ok(
          macro in unit.defines || text.includes(`// ${macro}`) || text.includes(`//   ${macro}`),
          `${name}: ${macro}`,
        );
      }
      const parameters = new RegExp(`\\b${symbol}\\(([^)]*)\\)\\s*\\{`).exec(text)?.[1]?.split(',') ?? [];
      assert.equal(parameters.length, list.length, `${name} takes as many arguments as its list has`);
      for (const [index, parameter] of parameters.entries()) {
        const type = parameter.includes('*') ? 'pointer' : 'u32';
        assert.equal(list[index]?.type, type, `${name}: argument ${index}, ${parameter.trim()}`);
      }
    }
  });

  it('compiles for a GPU, at shapes that no published model has', function () {
    skipWithoutLlvm.call(this);
    for (const name of ['embed', 'qkv, tiles of 1', 'attention', 'gate_up', 'slot_down']) {
      const form = forms.get(name);
      assert.ok(form !== undefined, name);
      const { unit, symbol } = form;
      const object = compileOffline({
        source: unit.source(),
        defines: unit.defines,
        architecture: target.architecture,
      });
      assert.deepEqual(
        readKernelResources(object).map((found) => [found.symbol, found.scratch]),
        [[symbol, 0]],
      );
    }
  });
});
