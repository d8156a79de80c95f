import assert from 'node:assert/strict';
import { checkRouteArguments, resolveRouterConfig } from '../src/resolve-config.ts';
import type { Logits, RouteOptions, RouterConfig } from '../src/contract.ts';
import { InvalidArgumentError, InvalidConfigError } from '../src/errors.ts';
import { assertMessageForm } from './message-form.ts';

describe('resolveRouterConfig', () => {
  it('fills in every default', () => {
    assert.deepEqual(resolveRouterConfig({ experts: 128, topK: 4 }), {
      experts: 128,
      topK: 4,
      logitsDtype: 'f32',
      idsDtype: 'i32',
      scoring: 'softmax',
      renormalize: true,
      routedScalingFactor: 1,
      correctionBias: null,
      groups: 1,
      topKGroups: 1,
      groupScore: 'top2-sum',
      expertRange: [0, 128],
      tokenExpertIndices: false,
      dispatchPlan: false,
      expertTiles: null,
    });
  });

  it('keeps every given option, and takes the limits themselves', () => {
    const config = resolveRouterConfig({
      experts: 1024,
      topK: 32,
      logitsDtype: 'bf16',
      idsDtype: 'i64',
      scoring: 'sigmoid',
      renormalize: false,
      routedScalingFactor: -2.5,
      groups: 32,
      topKGroups: 1,
      groupScore: 'max',
      expertRange: [1024, 1024],
      tokenExpertIndices: true,
      dispatchPlan: true,
      expertTiles: 128,
    });
    assert.equal(config.topK, 32);
    assert.equal(config.expertTiles, 128);
    assert.equal(config.routedScalingFactor, -2.5);
    assert.equal(config.groupScore, 'max');
    assert.deepEqual(config.expertRange, [1024, 1024]);
    assert.equal(resolveRouterConfig({ experts: 64, topK: 2, groups: 8 }).topKGroups, 8);
  });

  it('copies the bias, and freezes what it returns', () => {
    const correctionBias = new Float32Array([1, 2]);
    const config = resolveRouterConfig({ experts: 2, topK: 1, correctionBias });
    correctionBias[0] = 99;
    assert.deepEqual(config.correctionBias, new Float32Array([1, 2]));
    assert.ok(Object.isFrozen(config));
  });

  const valid = { experts: 64, topK: 8 };
  const faults: readonly (readonly [option: string, config: unknown, text: RegExp])[] = [
    ['config', null, /configuration object · found null/],
    ['experts', { topK: 1 }, /experts .* from 1 to 1024 · found undefined/],
    ['experts', { experts: 0, topK: 1 }, /found 0/],
    ['experts', { experts: 1025, topK: 1 }, /found 1025/],
    ['experts', { experts: 8.5, topK: 1 }, /found 8\.5/],
    ['experts', { experts: '8', topK: 1 }, /found '8'/],
    ['experts', { experts: NaN, topK: 1 }, /found NaN/],
    ['topK', { experts: 4, topK: 5 }, /from 1 to 4 · found 5/],
    ['topK', { experts: 64, topK: 33 }, /from 1 to 32 · found 33/],
    ['topK', { experts: 64, topK: 0 }, /found 0/],
    ['topK', { experts: 64 }, /found undefined/],
    ['logitsDtype', { ...valid, logitsDtype: 'f64' }, /'bf16', 'f16', 'f32' · found 'f64'/],
    ['idsDtype', { ...valid, idsDtype: 'i16' }, /found 'i16'/],
    ['scoring', { ...valid, scoring: 'tanh' }, /'softmax', 'sigmoid', 'sqrtsoftplus' · found 'tanh'/],
    ['renormalize', { ...valid, renormalize: 1 }, /true or false · found 1/],
    ['routedScalingFactor', { ...valid, routedScalingFactor: Infinity }, /finite in f32 · found Infinity/],
    ['routedScalingFactor', { ...valid, routedScalingFactor: 1e39 }, /found 1e\+39/],
    ['routedScalingFactor', { ...valid, routedScalingFactor: '2' }, /found '2'/],
    ['correctionBias', { ...valid, correctionBias: new Float32Array(63) }, /found Float32Array\(63\)/],
    ['correctionBias', { ...valid, correctionBias: new Float64Array(64) }, /found Float64Array\(64\)/],
    ['correctionBias', { ...valid, correctionBias: [1, 2, 3, 4, 5] }, /found \[1, 2, 3, 4, …\]/],
    ['correctionBias', { ...valid, correctionBias: new Float32Array(64).fill(NaN, 7, 8) }, /NaN for expert 7/],
    ['groups', { ...valid, groups: 5 }, /5 groups for 64 experts/],
    ['groups', { ...valid, groups: 0 }, /found 0/],
    ['groupScore', { ...valid, groups: 8, groupScore: 'sum' }, /'top2-sum', 'max' · found 'sum'/],
    ['topKGroups', { ...valid, groups: 8, topKGroups: 9 }, /from 1 to 8 · found 9/],
    ['topKGroups', { ...valid, groups: 16, topKGroups: 1 }, /1 of 16 groups, which hold 4, and topK 8/],
    ['expertRange', { ...valid, expertRange: [8, 4] }, /found \[8, 4\]/],
    ['expertRange', { ...valid, expertRange: [0, 65] }, /<= 64 · found \[0, 65\]/],
    ['expertRange', { ...valid, expertRange: [-1, 4] }, /found \[-1, 4\]/],
    ['expertRange', { ...valid, expertRange: [0.5, 4] }, /found \[0\.5, 4\]/],
    ['expertRange', { ...valid, expertRange: [4] }, /found \[4\]/],
    ['expertRange', { ...valid, expertRange: 'all' }, /found 'all'/],
    ['tokenExpertIndices', { ...valid, tokenExpertIndices: 'yes' }, /found 'yes'/],
    ['dispatchPlan', { ...valid, dispatchPlan: {} }, /found an object \(Object\)/],
    ['expertTiles', { ...valid, dispatchPlan: true, expertTiles: 48 }, /one of 16, 32, 64, 128 · found 48/],
    ['expertTiles', { ...valid, expertTiles: 16 }, /part of the dispatch plan.* set dispatchPlan to true/],
    ['topk', { ...valid, topk: 8 }, /no router option of this name · found "topk" · use one of experts, topK/],
  ];
  for (const [option, config, text] of faults) {
    it(`refuses ${option}: ${text.source}`, () => {
      assert.throws(
        () => resolveRouterConfig(config as RouterConfig),
        (error: unknown) => {
          assert.ok(error instanceof InvalidConfigError);
          assert.equal(error.code, 'INVALID_CONFIG');
          assert.equal(error.name, 'InvalidConfigError');
          assert.match(error.message, text);
          assertMessageForm(error.message);
          assert.equal(error.option, option);
          return true;
        },
      );
    });
  }
});

const zeros = (length: number): Float32Array => new Float32Array(length);

describe('checkRouteArguments', () => {
  const config = resolveRouterConfig({ experts: 4, topK: 2 });
  const bf16 = resolveRouterConfig({ experts: 4, topK: 2, logitsDtype: 'bf16' });
  it('finds the rows that the logits hold', () => {
    assert.equal(checkRouteArguments(config, zeros(0)).tokens, 0);
    assert.equal(checkRouteArguments(config, zeros(12)).tokens, 3);
    assert.equal(checkRouteArguments(config, zeros(18), { rowStride: 6 }).tokens, 3);
    assert.equal(checkRouteArguments(config, zeros(16), { rowStride: 6 }).tokens, 3, 'the last row may end at E');
    assert.deepEqual(checkRouteArguments(bf16, new Uint16Array(8), { tokens: 1, rowCount: 0 }), {
      tokens: 1,
      rowStride: 4,
      paddingMask: null,
      rowCount: 0,
    });
  });

  const faults: readonly (readonly [argument: string, logits: unknown, options: unknown, text: RegExp])[] = [
    ['logits', new Uint16Array(8), {}, /f32 logits as a Float32Array · found Uint16Array\(8\)/],
    ['logits', [1, 2, 3, 4], {}, /found \[1, 2, 3, 4\]/],
    ['logits', undefined, {}, /found undefined/],
    ['logits', zeros(10), {}, /10 elements, 2 rows of 4 and 2 more/],
    ['logits', zeros(7), { tokens: 2 }, /2 rows of 4 at a stride of 4 need 8 elements · found 7/],
    ['logits', zeros(9), { tokens: 2, rowStride: 6 }, /need 10 elements · found 9/],
    ['rowStride', zeros(8), { rowStride: 3 }, /at least the number of experts, 4 · found 3/],
    ['rowStride', zeros(8), { rowStride: 4.5 }, /found 4\.5/],
    ['tokens', zeros(8), { tokens: -1 }, /found -1/],
    ['tokens', zeros(8), { tokens: 1.5 }, /found 1\.5/],
    ['tokens', zeros(8), { tokens: 2 ** 30 }, /from 0 to 1073741823 .*found 1073741824/],
    ['paddingMask', zeros(8), { paddingMask: new Uint8Array(1) }, /each of the 2 rows · found Uint8Array\(1\)/],
    ['paddingMask', zeros(8), { paddingMask: [0, 1] }, /found \[0, 1\]/],
    ['rowCount', zeros(8), { rowCount: 3 }, /from 0 to the number of rows, 2 · found 3/],
    ['rowCount', zeros(8), { rowCount: -1 }, /found -1/],
    ['rowCount', zeros(8), { rowCount: '1' }, /found '1'/],
  ];
  for (const [argument, input, options, text] of faults) {
    it(`refuses ${argument}: ${text.source}`, () => {
      assert.throws(
        () => checkRouteArguments(config, input as Logits, options as RouteOptions),
        (error: unknown) => {
          assert.ok(error instanceof InvalidArgumentError);
          assert.equal(error.code, 'INVALID_ARGUMENT');
          assert.equal(error.argument, argument);
          assert.match(error.message, text);
          assertMessageForm(error.message);
          return true;
        },
      );
    });
  }

  it('refuses f32 where 16-bit logits are due', () => {
    assert.throws(() => checkRouteArguments(bf16, zeros(8)), /bf16 logits as the bits of bf16 in a Uint16Array/);
  });
});
