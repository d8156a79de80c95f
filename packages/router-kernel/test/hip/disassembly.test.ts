import assert from 'node:assert/strict';
import {
  compileOffline,
  disassemble,
  findLlvm,
  instructionMix,
  parseDisassembly,
  productsFusedWithLoads,
  readKernelResources,
} from '@switchyard/gpu/offline';
import type { Instruction } from '@switchyard/gpu/offline';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import type { RouterConfig } from '../../src/contract.ts';
import { PREBUILT_TARGETS, sourceOfForms } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { kernelSource } from '../../src/hip/kernel/source.ts';
import { specialize } from '../../src/hip/kernel/specialization.ts';

const SHAPES: readonly RouterConfig[] = [
  { experts: 32, topK: 4, logitsDtype: 'bf16' },
  { experts: 128, topK: 4, logitsDtype: 'bf16' },
  { experts: 128, topK: 8, logitsDtype: 'bf16' },
  { experts: 256, topK: 8, logitsDtype: 'bf16' },
];
/** Where scores are added to a bias: every scoring, with groups in registers, in shared memory, and without. */
const BIASED: readonly RouterConfig[] = [
  { experts: 256, topK: 8, logitsDtype: 'f32', scoring: 'sigmoid', groups: 8, topKGroups: 4 },
  { experts: 256, topK: 8, logitsDtype: 'bf16', scoring: 'sigmoid', groups: 8, topKGroups: 4 },
  { experts: 384, topK: 8, logitsDtype: 'bf16', scoring: 'sigmoid' },
  { experts: 64, topK: 6, logitsDtype: 'f32', scoring: 'softmax' },
  { experts: 64, topK: 6, logitsDtype: 'f16', scoring: 'sqrtsoftplus' },
  { experts: 60, topK: 4, logitsDtype: 'f32', scoring: 'sigmoid', groups: 3, topKGroups: 2 },
];
/** Half of what FlyDSL published for its newest kernel at (128, 6). */
const MOST_INSTRUCTIONS = 287;

describe('the AMD code of the router kernel', function () {
  this.timeout(120_000);
  before(function () {
    if (findLlvm() === null) {
      console.log('    skipped: LLVM 22 is not installed');
      this.skip();
    }
  });

  for (const target of PREBUILT_TARGETS) {
    for (const shape of SHAPES) {
      for (const tokens of [1, 4096, 16384]) {
        it(`${target.architecture}, (${shape.experts}, ${shape.topK}), T from ${tokens}`, () => {
          const specialization = specialize(resolveRouterConfig(shape), target, { tokens });
          const { defines, symbol, lanesPerToken } = specialization;
          const source = kernelSource('topk_gating_softmax');
          const object = compileOffline({ source, defines, architecture: target.architecture });
          const [resources] = readKernelResources(object);
          const instructions = parseDisassembly(disassemble(object), symbol);

          assert.ok(resources !== undefined && instructions.length > 0);
          assert.equal(resources.symbol, symbol);
          assert.equal(resources.scratch, 0);
          assert.equal(resources.lds, 0);
          assert.equal(resources.vgprSpills, 0);
          assert.equal(resources.sgprSpills, 0);
          assert.equal(count(instructions, /^s_barrier/), 0);
          assert.equal(count(instructions, /^ds_bpermute/), 0);
          if (lanesPerToken <= 16) assert.equal(instructionMix(instructions).localDataShare, 0);
          assert.deepEqual(new Set(memoryWidths(instructions)), new Set([128]));
          if (shape.topK === 4) assert.ok(resources.vgprs <= 40, `${resources.vgprs} vector registers`);
          if (shape.experts === 128 && shape.topK === 4 && tokens === 1) {
            assert.ok(instructions.length <= MOST_INSTRUCTIONS, `${instructions.length} instructions`);
          }
        });
      }
    }
  }
});

describe('the AMD code of choice scores', function () {
  this.timeout(240_000);
  before(function () {
    if (findLlvm() === null) {
      console.log('    skipped: LLVM 22 is not installed');
      this.skip();
    }
  });

  for (const target of PREBUILT_TARGETS) {
    it(`${target.architecture} adds the bias to a score that was rounded before, in every slot`, () => {
      const forms = BIASED.flatMap((shape) =>
        [1, 16384].map((tokens) => {
          const config = resolveRouterConfig({ ...shape, correctionBias: new Float32Array(shape.experts) });
          return specialize(config, target, { tokens });
        }),
      );
      const listing = disassemble(compileOffline({ source: sourceOfForms(forms), architecture: target.architecture }));
      for (const { symbol } of forms) {
        const instructions = parseDisassembly(listing, symbol);
        assert.ok(count(instructions, /^v_/) > 100, symbol);
        assert.deepEqual(productsFusedWithLoads(instructions), [], symbol);
      }
    });
  }
});

function count(instructions: readonly Instruction[], pattern: RegExp): number {
  return instructions.filter(({ mnemonic }) => pattern.test(mnemonic)).length;
}

/** Bits of each global load and store. */
function memoryWidths(instructions: readonly Instruction[]): number[] {
  return instructions
    .map(({ mnemonic }) => /^global_(?:load|store)_(?:dwordx(\d)|b(\d+)|\w+)$/.exec(mnemonic))
    .filter((match) => match !== null)
    .map((match) => (match[1] !== undefined ? Number(match[1]) * 32 : Number(match[2] ?? 32)));
}
