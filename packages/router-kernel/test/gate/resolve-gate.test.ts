import assert from 'node:assert/strict';
import { InvalidArgumentError, InvalidConfigError } from '../../src/errors.ts';
import type { GatedRouterConfig } from '../../src/gate/gate-contract.ts';
import { checkGatedRouteArguments, resolveGatedRouterConfig } from '../../src/gate/resolve-gate.ts';

const GATE: GatedRouterConfig = { experts: 4, topK: 2, hiddenSize: 16, gateWeight: new Uint16Array(64) };

/** The options that a gate is refused for. */
function refusedOption(change: object): string {
  try {
    resolveGatedRouterConfig({ ...GATE, ...change });
  } catch (error) {
    assert.ok(error instanceof InvalidConfigError, String(error));
    return error.option;
  }
  return 'none';
}

describe('resolveGatedRouterConfig', () => {
  it('fills in defaults, and copies weights and bias', () => {
    const gateBias = Float32Array.of(1, 2, 3, 4);
    const gateWeight = new Uint16Array(64).fill(0x3f80);
    const resolved = resolveGatedRouterConfig({ ...GATE, gateWeight, gateBias });
    gateWeight.fill(0);
    gateBias.fill(0);
    assert.equal(resolved.hiddenDtype, 'bf16');
    assert.equal(resolved.router.logitsDtype, 'f32');
    assert.equal(resolved.hasGateBias, true);
    assert.deepEqual(resolved.gateBias, Float32Array.of(1, 2, 3, 4));
    assert.ok(resolved.gateWeight.every((bits) => bits === 0x3f80));
    assert.equal(resolveGatedRouterConfig(GATE).gateBias, null);
  });

  it('names the first option that is wrong', () => {
    assert.equal(refusedOption({}), 'none');
    for (const hiddenSize of [0, 4, 12, 65_544, 16.5, Number.NaN, undefined, '16']) {
      assert.equal(refusedOption({ hiddenSize }), 'hiddenSize', String(hiddenSize));
    }
    assert.equal(refusedOption({ hiddenDtype: 'f16' }), 'hiddenDtype');
    assert.equal(refusedOption({ gateWeight: new Uint16Array(63) }), 'gateWeight');
    assert.equal(refusedOption({ gateWeight: new Float32Array(64) }), 'gateWeight');
    assert.equal(refusedOption({ gateBias: new Float32Array(3) }), 'gateBias');
    assert.equal(refusedOption({ gateBias: [0, 0, 0, 0] }), 'gateBias');
    assert.equal(refusedOption({ logitsDtype: 'bf16' }), 'logitsDtype');
    assert.equal(refusedOption({ topK: 5 }), 'topK');
    assert.equal(refusedOption({ gateweight: 1 }), 'gateweight');
    assert.throws(() => resolveGatedRouterConfig(null as unknown as GatedRouterConfig), InvalidConfigError);
  });
});

describe('checkGatedRouteArguments', () => {
  const shape = resolveGatedRouterConfig(GATE);

  it('fills in defaults from the hidden size', () => {
    const expected = { tokens: 3, rowStride: 16, paddingMask: null, rowCount: 3 };
    assert.deepEqual(checkGatedRouteArguments(shape, new Uint16Array(48)), expected);
    const strided = checkGatedRouteArguments(shape, new Uint16Array(20 + 16), { rowStride: 20 });
    assert.deepEqual(strided, { ...expected, tokens: 2, rowStride: 20, rowCount: 2 });
  });

  it('names hidden states where they do not fit, in their own words', () => {
    const refusals: readonly (readonly [() => unknown, argument: string, message: RegExp])[] = [
      [() => checkGatedRouteArguments(shape, new Float32Array(16)), 'hidden', /bf16 hidden states.*set hiddenDtype/],
      [() => checkGatedRouteArguments(shape, new Uint16Array(17)), 'hidden', /do not end at the end of a row/],
      [
        () => checkGatedRouteArguments(shape, new Uint16Array(16), { tokens: 2 }),
        'hidden',
        /hidden states are too short/,
      ],
      [
        () => checkGatedRouteArguments(shape, new Uint16Array(16), { rowStride: 15 }),
        'rowStride',
        /the hidden size, 16/,
      ],
      [() => checkGatedRouteArguments(shape, new Uint16Array(16), { rowCount: 2 }), 'rowCount', /number of rows, 1/],
    ];
    for (const [call, argument, message] of refusals) {
      assert.throws(
        call,
        (error) => error instanceof InvalidArgumentError && error.argument === argument && message.test(error.message),
        argument,
      );
    }
  });
});
