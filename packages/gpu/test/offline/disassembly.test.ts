import assert from 'node:assert/strict';
import {
  instructionMix,
  parseDisassembly,
  parseKernelNotes,
  productsFusedWithLoads,
} from '../../src/offline/disassembly.ts';

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
