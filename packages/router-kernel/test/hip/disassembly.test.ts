import assert from 'node:assert/strict';
import { resolveRouterConfig } from '../../src/contract.ts';
import type { RouterConfig } from '../../src/contract.ts';
import {
  instructionMix,
  parseDisassembly,
  parseKernelNotes,
  productsFusedWithLoads,
} from '../../src/hip/kernel/disassembly.ts';
import type { Instruction } from '../../src/hip/kernel/disassembly.ts';
import { compileOffline, disassemble, findLlvm, readKernelResources } from '../../src/hip/kernel/llvm-toolchain.ts';
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

describe('productsFusedWithLoads', () => {
  const found = (...lines: readonly string[]): string[] => {
    const listing = ['0000000000001900 <kernel>:', ...lines.map((line) => `\t${line}`), '\ts_endpgm'].join('\n');
    return productsFusedWithLoads(parseDisassembly(listing, 'kernel')).map(({ mnemonic }) => mnemonic);
  };
  const load = 'global_load_dwordx4 v[4:7], v[0:1], off';

  it('finds addends that were loaded, or moved after that', () => {
    assert.deepEqual(found(load, 'v_fma_f32 v1, v2, v3, v5'), ['v_fma_f32']);
    assert.deepEqual(found(load, 'v_fmac_f32_e32 v7, v2, v3'), ['v_fmac_f32_e32']);
    assert.deepEqual(found(load, 'v_pk_fma_f32 v[0:1], v[2:3], v[8:9], v[6:7] op_sel_hi:[1,0,1]'), ['v_pk_fma_f32']);
    assert.deepEqual(found(load, 'v_fmamk_f32 v1, v2, 0x3fb8aa3b, v4'), ['v_fmamk_f32']);
    assert.deepEqual(found(load, 'v_mov_b32_e32 v9, v4', 'v_fma_f32 v1, v2, v3, -v9'), ['v_fma_f32']);
    assert.deepEqual(found(load, 'v_dual_mul_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v2, v3'), ['v_dual_mul_f32']);
  });

  it('leaves factors alone, sums of their own, and registers that were written since', () => {
    assert.deepEqual(found(load, 'v_fma_f32 v1, v4, v5, v2', 'v_add_f32_e32 v1, v2, v5'), []);
    assert.deepEqual(found(load, 'v_mul_f32_e32 v5, v4, v5', 'v_fma_f32 v1, v2, v3, v5'), []);
    assert.deepEqual(found(load, 'v_fmaak_f32 v1, v2, v4, 0x3f317218'), []);
    assert.deepEqual(found('v_fma_f32 v1, v2, v3, v5'), []);
  });
});

describe('parseKernelNotes', () => {
  it('reads every kernel, and not their arguments', () => {
    const notes = [
      '    AMDGPU Metadata',
      '---',
      'amdhsa.kernels:',
      '  - .args:',
      '      - .offset:         0',
      '        .size:           8',
      '    .group_segment_fixed_size: 16',
      '    .private_segment_fixed_size: 32',
      '    .sgpr_count:     12',
      '    .sgpr_spill_count: 1',
      '    .symbol:         first.kd',
      '    .vgpr_count:     20',
      '    .vgpr_spill_count: 2',
      '  - .agpr_count:     0',
      "    .symbol:         'second.kd'",
      '    .vgpr_count:     7',
      'amdhsa.version:',
    ].join('\n');
    const [first, second, ...rest] = parseKernelNotes(notes);
    assert.deepEqual(rest, []);
    assert.deepEqual(first, {
      symbol: 'first',
      vgprs: 20,
      sgprs: 12,
      vgprSpills: 2,
      sgprSpills: 1,
      lds: 16,
      scratch: 32,
    });
    assert.equal(second?.symbol, 'second');
    assert.equal(second?.vgprs, 7);
  });
});

describe('parseDisassembly', () => {
  const listing = [
    '0000000000001900 <wanted>:',
    '\ts_load_dwordx2 s[2:3], s[4:5], 0x0                         // 000000001900: C0060082 00000000',
    '\tv_min_i32_dpp v7, v5, v4 quad_perm:[1,0,3,2] row_mask:0xf // 000000001908: 180E08FA',
    '\tglobal_store_dwordx4 v[0:1], v[2:5], off',
    '\ts_endpgm',
    '\ts_nop 0',
    '',
    '0000000000001a00 <other>:',
    '\tds_bpermute_b32 v0, v1, v2',
    '\ts_endpgm',
  ].join('\n');

  it('reads one kernel up to its end', () => {
    const mnemonics = parseDisassembly(listing, 'wanted').map(({ mnemonic }) => mnemonic);
    assert.deepEqual(mnemonics, ['s_load_dwordx2', 'v_min_i32_dpp', 'global_store_dwordx4', 's_endpgm']);
    assert.deepEqual(parseDisassembly(listing, 'absent'), []);
  });

  it('counts by kind', () => {
    assert.deepEqual(instructionMix(parseDisassembly(listing, 'wanted')), {
      vector: 1,
      dataParallelPrimitives: 1,
      scalar: 1,
      vectorMemory: 1,
      scalarMemory: 1,
      localDataShare: 0,
      waits: 0,
    });
  });
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
