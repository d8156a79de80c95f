import assert from 'node:assert/strict';
import { compileOffline, readKernelResources } from '@switchyard/gpu/offline';
import { parseKernelTarget } from '@switchyard/gpu';
import { publishedConfig } from '@switchyard/models/testing';
import { skipWithoutLlvm } from '../../../../gpu/test/testing/skip-without.ts';
import { hasMatrixUnits } from '../../../src/runners/hip/tile-kernels.ts';
import { allForms } from './kernel-forms.ts';

/** Local data share of a block, on every architecture. */
const MOST_LDS = 65_536;

/** Compiles every kernel for each architecture, which takes some seconds, and reads what it would take there. */
export function describeKernelObjects(architectures: readonly string[]): void {
  describe("the AMD objects of the GPU runner's kernels", function () {
    this.timeout(900_000);
    before(skipWithoutLlvm);

    // Both published models differ in their experts alone: the larger one's are those of the gate and of the list.
    for (const architecture of architectures) {
      it(`${architecture}: no scratch memory, no spilled register, at gpt-oss-20b's shapes`, () => {
        const target = parseKernelTarget(architecture);
        assert.ok(target !== null);
        const forms = allForms({ config: publishedConfig('gpt-oss-20b'), target });
        assert.ok(forms.size >= (hasMatrixUnits(target) ? 48 : 32), `${forms.size} kernels`);
        for (const [name, { unit, symbol }] of forms) {
          const object = compileOffline({ source: unit.source(), defines: unit.defines, architecture });
          const [resources, ...more] = readKernelResources(object);
          assert.ok(resources !== undefined && more.length === 0, name);
          assert.equal(resources.symbol, symbol, name);
          assert.deepEqual(
            [resources.scratch, resources.vgprSpills, resources.sgprSpills],
            [0, 0, 0],
            `${name}: scratch bytes, spilled vector registers, spilled scalar registers`,
          );
          assert.ok(resources.lds <= MOST_LDS, `${name}: ${resources.lds} bytes of local data share`);
        }
      });
    }
  });
}
