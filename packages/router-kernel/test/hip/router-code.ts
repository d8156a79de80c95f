import assert from 'node:assert/strict';
import {
  compileOffline,
  disassemble,
  instructionMix,
  parseListing,
  productsFusedWithLoads,
  readKernelResources,
} from '@switchyard/gpu/offline';
import type { Instruction, KernelResources } from '@switchyard/gpu/offline';
import type { KernelTarget } from '@switchyard/gpu';
import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import type { RouterConfig } from '../../src/contract.ts';
import {
  findPrebuiltObject,
  formsOfConfigs,
  publishedConfigs,
  sourceOfForms,
} from '../../src/hip/kernel/prebuilt-kernels.ts';
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
/** Of (128, 4) bf16 for few tokens, by architecture: what the code takes, and must not exceed. */
const MOST_INSTRUCTIONS: Readonly<Record<string, number>> = {
  gfx906: 211,
  gfx908: 211,
  gfx90a: 208,
  gfx942: 204,
  gfx950: 201,
  gfx1030: 204,
  'gfx10-3-generic': 204,
  gfx1100: 254,
  'gfx11-generic': 254,
  gfx1201: 259,
  'gfx12-generic': 259,
  gfx1250: 246,
};

interface Disassembled {
  readonly resources: ReadonlyMap<string, KernelResources>;
  readonly code: ReadonlyMap<string, readonly Instruction[]>;
}

function disassembled(object: Uint8Array): Disassembled {
  const resources = new Map(readKernelResources(object).map((found) => [found.symbol, found]));
  return { resources, code: parseListing(disassemble(object)) };
}

/** The last shipped object of the routers: it takes seconds to disassemble, and hundreds of megabytes to keep all. */
let last: { readonly architecture: string; readonly object: Disassembled } | null = null;

function shippedObject(target: KernelTarget): Disassembled {
  const { architecture } = target;
  if (last?.architecture !== architecture) {
    const [form] = formsOfConfigs(publishedConfigs(), target);
    const object = findPrebuiltObject(architecture, form?.symbol ?? '');
    assert.ok(object !== null, architecture);
    last = { architecture, object: disassembled(object) };
  }
  return last.object;
}

/** The shipped object of a target, and one of forms that are not shipped. */
function objectsOf(target: KernelTarget, forms: Parameters<typeof sourceOfForms>[0]): Disassembled[] {
  const { architecture } = target;
  return [shippedObject(target), disassembled(compileOffline({ source: sourceOfForms(forms), architecture }))];
}

/** What holds of every kernel that is shipped for a target, and of forms that are not. */
export function describeRouterCode(target: KernelTarget): void {
  describe(`the AMD code of the router kernel for ${target.architecture}`, function () {
    this.timeout(240_000);
    before(skipWithoutLlvm);

    it('has no scratch, no shared memory, no barrier, whole loads and stores, few instructions', () => {
      const forms = SHAPES.flatMap((shape) =>
        [1, 4096, 16384].map((tokens) => {
          const config = resolveRouterConfig(shape);
          return { shape, tokens, form: specialize(config, target, { tokens }) };
        }),
      );
      const unshipped = forms.filter(({ shape }) => shape.experts === 256).map(({ form }) => form);
      const objects = objectsOf(target, unshipped);
      for (const { shape, tokens, form } of forms) {
        const { symbol, lanesPerToken } = form;
        const object = objects.find(({ code }) => code.has(symbol));
        const resources = object?.resources.get(symbol);
        const instructions = object?.code.get(symbol) ?? [];

        assert.ok(resources !== undefined && instructions.length > 0, symbol);
        const { scratch, lds, vgprSpills, sgprSpills } = resources;
        assert.deepEqual(
          { scratch, lds, vgprSpills, sgprSpills },
          { scratch: 0, lds: 0, vgprSpills: 0, sgprSpills: 0 },
        );
        assert.equal(count(instructions, /^s_barrier/), 0, symbol);
        assert.equal(count(instructions, /^ds_bpermute/), 0, symbol);
        if (lanesPerToken <= 16) assert.equal(instructionMix(instructions).localDataShare, 0, symbol);
        assert.deepEqual(new Set(memoryWidths(instructions)), new Set([128]), symbol);
        if (shape.topK === 4) assert.ok(resources.vgprs <= 40, `${resources.vgprs} vector registers`);
        if (shape.experts === 128 && shape.topK === 4 && tokens === 1) {
          const most = MOST_INSTRUCTIONS[target.architecture] ?? 0;
          assert.ok(instructions.length <= most, `${instructions.length} instructions where ${most} are due`);
        }
      }
    });

    it('adds the bias to a score that was rounded before, in every slot', () => {
      const forms = BIASED.flatMap((shape) =>
        [1, 16384].map((tokens) => {
          const config = resolveRouterConfig({ ...shape, correctionBias: new Float32Array(shape.experts) });
          return specialize(config, target, { tokens });
        }),
      );
      // Generic processors have the arithmetic of their family: the shipped kernels show theirs.
      const isGeneric = target.architecture.endsWith('generic');
      const [own, others] = objectsOf(target, isGeneric ? forms.slice(0, 1) : forms);
      const biased = [...(own?.code ?? []), ...(others?.code ?? [])].filter(([symbol]) => /_bias_/.test(symbol));
      assert.ok(biased.length >= 18, `${biased.length} kernels`);
      for (const [symbol, instructions] of biased) {
        assert.ok(count(instructions, /^v_/) > 100, symbol);
        assert.deepEqual(productsFusedWithLoads(instructions), [], symbol);
      }
    });
  });
}

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
