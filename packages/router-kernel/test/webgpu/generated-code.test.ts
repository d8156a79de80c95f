import assert from 'node:assert/strict';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import type { RouterConfig } from '../../src/contract.ts';
import { searchWithCare } from '../../src/webgpu/kernel/careful-search.ts';
import { bestOfChunks } from '../../src/webgpu/kernel/chunks.ts';
import { keyForm } from '../../src/webgpu/kernel/keys.ts';
import { exchangeKeys, mergeAcrossLanes, mergeWithLane, pickByLane } from '../../src/webgpu/kernel/lane-exchange.ts';
import type { ExchangePath, KernelForm, LaunchGeometry } from '../../src/webgpu/kernel/launch-geometry.ts';
import { bestOfRow } from '../../src/webgpu/kernel/rows.ts';
import { mergeLists, selectBest } from '../../src/webgpu/kernel/sorted-lists.ts';
import { storesOf, winnersOfLane } from '../../src/webgpu/kernel/stores.ts';

/** A form in a geometry of the test's choosing. */
function formOf(config: RouterConfig, geometry: Partial<LaunchGeometry>, path: ExchangePath = 'subgroups'): KernelForm {
  const defaults = { lanesPerToken: 1, workgroupSize: 64, tokensPerWorkgroup: 64, logitsPerLoad: 1 };
  return { config: resolveRouterConfig(config), geometry: { ...defaults, searchesChunks: false, ...geometry }, path };
}

/** Compares lines of WGSL without their comments. */
function assertCode(found: readonly string[], expected: string): void {
  const lines = expected.split('\n').slice(1, -1);
  const depth = /^ */.exec(lines[0] ?? '')?.[0].length ?? 0;
  assert.deepEqual(
    found.filter((line) => !line.startsWith('//')),
    lines.map((line) => line.slice(depth)),
  );
}

/** What the writers of WGSL write, in cases small enough to be read. */
describe('WGSL that is written', () => {
  it('selects the best of some keys: the two best of four', () => {
    const { code, list } = selectBest(['a', 'b', 'c', 'd'], 2);
    assertCode(
      code,
      `
      sort_pair(&a, &b);
      sort_pair(&c, &d);
      a = larger(a, d);
      b = larger(b, c);
      sort_pair(&a, &b);
      `,
    );
    assert.deepEqual(list, ['a', 'b']);
  });

  it('merges sorted lists: the three best of two and two', () => {
    const { code, list } = mergeLists(
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
      3,
    );
    assertCode(
      code,
      `
      b = larger(b, d);
      sort_pair(&a, &c);
      sort_pair(&b, &c);
      `,
    );
    assert.deepEqual(list, ['a', 'b', 'c']);
  });

  it('makes keys and takes them apart, packed and wide', () => {
    const packed = keyForm(resolveRouterConfig({ experts: 8, topK: 2, logitsDtype: 'bf16' }));
    assert.equal(packed.makeChecked('order', { number: 3 }), 'to_key(order, 65532u)');
    assert.equal(packed.makeUnchecked('order', { number: 3, variable: 'first' }), '(order) | (65532u - first)');
    assert.deepEqual([packed.orderOf('key'), packed.idOf('key')], ['key & 0xFFFF0000u', '~key & 0xFFFFu']);
    assert.deepEqual([packed.addToId('key', 'lane'), packed.raiseId('key', 'lane')], ['key - lane', 'key -= lane;']);
    const wide = keyForm(resolveRouterConfig({ experts: 8, topK: 2, logitsDtype: 'f32' }));
    assert.equal(wide.makeChecked('order', { number: 3, variable: 'first' }), 'vec2<u32>(order, first + 3u)');
    assert.deepEqual([wide.orderOf('key'), wide.idOf('key')], ['key.x', 'key.y']);
    assert.deepEqual(
      [wide.addToId('key', 'lane'), wide.raiseId('key', 'lane')],
      ['key + vec2<u32>(0u, lane)', 'key.y += lane;'],
    );
  });

  it('exchanges keys with another lane, by subgroup operations or through workgroup memory', () => {
    const step = { distance: 2, stem: 'p', isLast: false };
    const geometry = { lanesPerToken: 4 };
    assertCode(
      exchangeKeys(formOf({ experts: 8, topK: 2 }, geometry), step, ['a', 'b']),
      `
      var p0 = subgroupShuffleXor(a, 2u);
      var p1 = subgroupShuffleXor(b, 2u);
      `,
    );
    const byMemory = formOf({ experts: 8, topK: 2 }, geometry, 'workgroup');
    assertCode(
      exchangeKeys(byMemory, step, ['a', 'b']),
      `
      exchange[0u + position] = a;
      exchange[64u + position] = b;
      workgroupBarrier();
      var p0 = exchange[0u + (position ^ 2u)];
      var p1 = exchange[64u + (position ^ 2u)];
      workgroupBarrier();
      `,
    );
    const last = exchangeKeys(byMemory, { ...step, isLast: true }, ['a', 'b']);
    assert.equal(last.filter((line) => line === 'workgroupBarrier();').length, 1);
  });

  it('merges the lists of two lanes, and of all lanes of a token', () => {
    const form = formOf({ experts: 4, topK: 2 }, { lanesPerToken: 4 });
    assertCode(
      mergeWithLane(form, { distance: 1, stem: 'q', isLast: false }, ['a'], 2).code,
      `
      var q1_0 = subgroupShuffleXor(a, 1u);
      sort_pair(&a, &q1_0);
      `,
    );
    const { code, list } = mergeAcrossLanes(form, ['w0']);
    assertCode(
      code,
      `
      var p1_0 = subgroupShuffleXor(w0, 1u);
      sort_pair(&w0, &p1_0);
      var p2_0 = subgroupShuffleXor(w0, 2u);
      var p2_1 = subgroupShuffleXor(p1_0, 2u);
      w0 = larger(w0, p2_1);
      p1_0 = larger(p1_0, p2_0);
      sort_pair(&w0, &p1_0);
      `,
    );
    assert.deepEqual(list, ['w0', 'p1_0']);
    assert.throws(() => mergeAcrossLanes(formOf({ experts: 4, topK: 2 }, {}), ['w0']), /hold 1 keys, but K is 2/);
  });

  it('picks a value by the number of the lane', () => {
    assert.equal(pickByLane(['a']), 'a');
    assert.equal(
      pickByLane(['a', 'b', 'c', 'd']),
      'select(select(a, c, (lane & 2u) != 0u), select(b, d, (lane & 2u) != 0u), (lane & 1u) != 0u)',
    );
  });

  describe("keeps the best of a lane's part of a row", () => {
    it('of scalars, f32 and 16-bit', () => {
      const geometry = { lanesPerToken: 2 };
      assertCode(
        bestOfRow(formOf({ experts: 4, topK: 1, logitsDtype: 'f32' }, geometry)).code,
        `
        var c0 = vec2<u32>(to_order(load_bits(row, 0u + lane)), 0u);
        var c1 = vec2<u32>(to_order(load_bits(row, 2u + lane)), 2u);
        c0 = larger(c0, c1);
        var w0 = c0 + vec2<u32>(0u, lane);
        `,
      );
      assertCode(
        bestOfRow(formOf({ experts: 4, topK: 1, logitsDtype: 'bf16' }, geometry)).code,
        `
        var c0 = to_key(to_unchecked_order(load_bits(row, 0u + lane)), 65535u);
        var c1 = to_key(to_unchecked_order(load_bits(row, 2u + lane)), 65533u);
        c0 = larger(c0, c1);
        var w0 = c0 - lane;
        `,
      );
    });

    it("of choice scores, where the last lane reaches past the row's end", () => {
      const config: RouterConfig = { experts: 3, topK: 1, correctionBias: new Float32Array(3) };
      const at = (expert: string): string => `choice_orders[slot * EXPERTS + min(${expert}, EXPERTS - 1u)]`;
      assertCode(
        bestOfRow(formOf(config, { lanesPerToken: 2 })).code,
        `
        var c0 = vec2<u32>(select(0u, ${at('0u + lane')}, 0u + lane < EXPERTS), 0u);
        var c1 = vec2<u32>(select(0u, ${at('2u + lane')}, 2u + lane < EXPERTS), 2u);
        c0 = larger(c0, c1);
        var w0 = c0 + vec2<u32>(0u, lane);
        `,
      );
    });

    it('of whole vectors, with care where there is a NaN', () => {
      const { code } = bestOfRow(formOf({ experts: 4, topK: 1 }, { logitsPerLoad: 4 }));
      assertCode(
        code,
        `
        let v0 = to_unchecked_orders(load_vector(row, 0u + lane));
        var c0 = vec2<u32>(v0.x, 0u);
        var c1 = vec2<u32>(v0.y, 1u);
        var c2 = vec2<u32>(v0.z, 2u);
        var c3 = vec2<u32>(v0.w, 3u);
        c0 = larger(c0, c1);
        c2 = larger(c2, c3);
        c0 = larger(c0, c2);
        if (shows_nan(c0, c0)) {
          c0 = LOWEST_KEY;
          for (var load = 0u; load < 1u; load++) {
            let words = load_vector(row, load * 1u + lane);
            for (var i = 0u; i < LOGITS_PER_LOAD; i++) {
              var key = key_of(to_order(bits_of(words, i)), load * 4u + i);
              sort_pair(&c0, &key);
            }
          }
        }
        var w0 = c0;
        `,
      );
    });

    it("of vectors, some of which lie past the row's end", () => {
      const { code } = bestOfRow(
        formOf({ experts: 8, topK: 1, logitsDtype: 'bf16' }, { lanesPerToken: 2, logitsPerLoad: 8 }),
      );
      assert.deepEqual(code.slice(0, 3), [
        'let v0 = to_unchecked_orders(load_vector(row, 0u + lane));',
        'var c0 = to_key(v0.x << 16u, 65535u);',
        'var c1 = to_key(v0.x & 0xFFFF0000u, 65534u);',
      ]);
      assert.equal(code.at(-1), 'var w0 = c0 - lane * 8u;');
    });

    it('in rounds of 32 logits', () => {
      const { code, list } = bestOfRow(formOf({ experts: 64, topK: 2 }, {}));
      assert.deepEqual(list, ['w0', 'w1']);
      assert.deepEqual(code.slice(0, 4), [
        'var r0 = LOWEST_KEY;',
        'var r1 = LOWEST_KEY;',
        'for (var first = 0u; first < EXPERTS; first += 32u) {',
        '  var c0 = vec2<u32>(to_order(load_bits(row, first + 0u + lane)), first + 0u);',
      ]);
      assert.deepEqual(code.slice(-6), [
        '  r0 = larger(r0, c1);',
        '  r1 = larger(r1, c0);',
        '  sort_pair(&r0, &r1);',
        '}',
        'var w0 = r0;',
        'var w1 = r1;',
      ]);
    });
  });

  it('searches vectors with care, by the best logit of each', () => {
    const search = {
      list: ['a', 'b'],
      loads: 3,
      vector: 'load * 2u + lane',
      id: 'load * 2u',
      ranked: 'vectors',
    } as const;
    assertCode(
      searchWithCare(search),
      `
      if (shows_nan(a, b)) {
        a = LOWEST_KEY;
        b = LOWEST_KEY;
        for (var load = 0u; load < 3u; load++) {
          let words = load_vector(row, load * 2u + lane);
          var order = 0u;
          for (var i = 0u; i < LOGITS_PER_LOAD; i++) {
            order = max(order, to_order(bits_of(words, i)));
          }
          var key = key_of(order, load * 2u);
          sort_pair(&a, &key);
          sort_pair(&b, &key);
        }
      }
      `,
    );
  });

  it("finds the best chunks of a row, and the best experts in a lane's share of them", () => {
    const config: RouterConfig = { experts: 16, topK: 2, logitsDtype: 'f32' };
    const { code } = bestOfChunks(formOf(config, { lanesPerToken: 2, logitsPerLoad: 4, searchesChunks: true }));
    const lines = code.filter((line) => !line.startsWith('//'));
    const withCare = lines.indexOf('if (shows_nan(b0, b1)) {');
    assertCode(
      lines.slice(0, withCare),
      `
      let v0 = load_vector(row, 0u + lane);
      let v1 = load_vector(row, 2u + lane);
      var b0 = key_of(best_of_chunk(v0), 0u);
      var b1 = key_of(best_of_chunk(v1), 2u);
      sort_pair(&b0, &b1);
      `,
    );
    const exchanged = lines.indexOf('b0.y += lane;');
    assertCode(
      lines.slice(exchanged, lines.indexOf('if (shows_nan(c0, c1)) {')),
      `
      b0.y += lane;
      b1.y += lane;
      let own_0 = b0;
      let sent_0 = b1;
      var met_0 = subgroupShuffleXor(sent_0, 1u);
      let best_0 = larger(own_0, met_0);
      let chunk_0 = best_0.y;
      let u0 = to_unchecked_orders(load_vector(row, chunk_0));
      var c0 = vec2<u32>(u0.x, 0u);
      var c1 = vec2<u32>(u0.y, 1u);
      var c2 = vec2<u32>(u0.z, 2u);
      var c3 = vec2<u32>(u0.w, 3u);
      sort_pair(&c0, &c1);
      sort_pair(&c2, &c3);
      c0 = larger(c0, c3);
      c1 = larger(c1, c2);
      sort_pair(&c0, &c1);
      c0.y += chunk_0 * 4u;
      c1.y += chunk_0 * 4u;
      `,
    );
    assert.deepEqual(lines.slice(-2), ['var w0 = c0;', 'var w1 = c1;']);
  });

  it("names the winners of a lane's slots", () => {
    assertCode(
      winnersOfLane(['a', 'b', 'c', 'd'], 4),
      `
      let winner_0 = a;
      let winner_1 = b;
      let winner_2 = c;
      let winner_3 = d;
      `,
    );
    assertCode(
      winnersOfLane(['a', 'b', 'c', 'd'], 2),
      `
      let winner_0 = select(a, c, (lane & 1u) != 0u);
      let winner_1 = select(b, d, (lane & 1u) != 0u);
      `,
    );
  });

  it('stores outputs as vectors, each store by another lane', () => {
    const form = formOf({ experts: 8, topK: 2, idsDtype: 'i64', tokenExpertIndices: true }, { lanesPerToken: 2 });
    const { code, elements } = storesOf({ ...form, isAligned: true, isContiguous: true });
    assert.deepEqual(elements, { weights: 'vec2<f32>', ids: 'vec4<u32>', token_expert_indices: 'vec2<u32>' });
    const words = [0, 1].map((k) => `final_id_${k}, u32(i32(final_id_${k}) >> 31u)`).join(', ');
    assertCode(
      code,
      `
      if (lane == 0u) {
        weights[token * 1u + 0u] = vec2<f32>(weight_0, weight_1);
        token_expert_indices[token * 1u + 0u] = vec2<u32>(token + 0u * tokens, token + 1u * tokens);
      }
      if (lane == 1u) {
        ids[token * 1u + 0u] = vec4<u32>(${words});
      }
      `,
    );
  });

  it('stores outputs that start anywhere word by word', () => {
    const form = formOf({ experts: 8, topK: 2 }, {});
    assertCode(
      storesOf({ ...form, isAligned: false, isContiguous: false }).code,
      `
      weights[call.weights_start + token * 2u + 0u] = weight_0;
      weights[call.weights_start + token * 2u + 1u] = weight_1;
      ids[call.ids_start + token * 2u + 0u] = final_id_0;
      ids[call.ids_start + token * 2u + 1u] = final_id_1;
      `,
    );
  });

  it('stores the slots of each lane by that lane, where lanes share the winners', () => {
    const form = formOf({ experts: 128, topK: 4 }, { lanesPerToken: 2, logitsPerLoad: 4, searchesChunks: true });
    assertCode(
      storesOf({ ...form, isAligned: true, isContiguous: true }).code,
      `
      weights[(token * LANES + lane) * 1u + 0u] = vec2<f32>(weight_0, weight_1);
      ids[(token * LANES + lane) * 1u + 0u] = vec2<u32>(final_id_0, final_id_1);
      `,
    );
  });
});
