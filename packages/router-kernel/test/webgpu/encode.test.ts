import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Logits, RouterConfig } from '../../src/contract.ts';
import { InvalidArgumentError } from '../../src/errors.ts';
import { encodeLogits } from '../../src/number-formats.ts';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import type { PlanGpuBuffers, RouterGpuBuffers, WebGpuRouter } from '../../src/webgpu/index.ts';
import { PlacedCall, rangeBytes } from './encoded-call.ts';
import type { CallInput, Placement } from './encoded-call.ts';
import { ObservedDevice } from './observed-device.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';
import { assertMessageForm } from '../message-form.ts';

/** What a binding's offset is a multiple of on every device. */
const BINDING_ALIGNMENT = 256;
const STORAGE = 0x80;
const COPY_DST = 0x8;

const EVERYTHING: RouterConfig = {
  experts: 16,
  topK: 4,
  logitsDtype: 'bf16',
  dispatchPlan: true,
  expertTiles: 16,
  tokenExpertIndices: true,
};
const CONFIGS: readonly RouterConfig[] = [
  EVERYTHING,
  { experts: 16, topK: 4, logitsDtype: 'f32', idsDtype: 'i64', dispatchPlan: true },
  { experts: 13, topK: 3, logitsDtype: 'f16', idsDtype: 'u32', tokenExpertIndices: true },
  { experts: 1, topK: 1, logitsDtype: 'f32' },
];

describe('WebGPU encode', function () {
  this.timeout(120_000);
  let device: GPUDevice | null = null;
  const gpuErrors: string[] = [];

  before(async function () {
    await skipWithoutWebGpu.call(this);
    device = await requestSoftwareDevice();
    device.onuncapturederror = ({ error }) => gpuErrors.push(error.message);
  });
  after(() => device?.destroy());
  afterEach(() => assert.deepEqual(gpuErrors.splice(0), []));

  function createRouter(config: RouterConfig): Promise<WebGpuRouter> {
    assert.ok(device !== null);
    return createWebGpuRouter(config, { device });
  }

  for (const config of CONFIGS) {
    const { experts, topK, logitsDtype = 'f32', idsDtype = 'i32' } = config;
    it(`takes every offset that WebGPU can address: E ${experts}, K ${topK}, ${logitsDtype}, ids ${idsDtype}`, async () => {
      await using router = await createRouter(config);
      const offset = (step: number): fc.Arbitrary<number> => fc.nat(1024 / step).map((n) => n * step);
      const offsets = fc.record({
        logits: offset(logitsDtype === 'f32' ? 4 : 2),
        weights: offset(4),
        ids: offset(4),
        tokenExpertIndices: offset(4),
        expertOffsets: offset(4),
        sortedSlots: offset(4),
        expertTiles: offset(4),
        paddingMask: offset(1),
        rowCount: offset(4),
      });
      const sizes = fc.record({ tokens: fc.integer({ min: 1, max: 20 }), gap: fc.nat(9), hasMask: fc.boolean() });
      const property = fc.asyncProperty(offsets, sizes, fc.option(fc.nat(25)), async (places, size, rowCount) => {
        const { tokens, gap, hasMask } = size;
        const call = new PlacedCall(
          router,
          {
            ...someCall(config, tokens, experts + gap),
            ...(hasMask && { paddingMask: Uint8Array.from({ length: tokens }, (_, t) => (t % 3 === 1 ? 255 : 0)) }),
            ...(rowCount !== null && { deviceRowCount: rowCount }),
          },
          Object.fromEntries(Object.entries(places).map(([name, at]) => [name, { buffer: name, offset: at }])),
        );
        try {
          call.submit();
          assert.deepEqual(await call.problems(), []);
          assert.deepEqual(gpuErrors, []);
        } finally {
          call.destroy();
        }
      });
      await fc.assert(property, { numRuns: 100 });
    });
  }

  it('takes one buffer for all outputs and another for all inputs', async () => {
    await using router = await createRouter(EVERYTHING);
    for (const base of [0, BINDING_ALIGNMENT, 5 * BINDING_ALIGNMENT]) {
      const input: CallInput = { ...someCall(EVERYTHING, 37), paddingMask: new Uint8Array(37), deviceRowCount: 36 };
      const call = new PlacedCall(router, input, sharedPlaces(router, input, base));
      call.submit();
      assert.deepEqual(await call.problems(), []);
      call.destroy();
    }
  });

  it('needs no numbers of the call where rows and outputs are all that their bindings hold', async () => {
    assert.ok(device !== null);
    const routing: string[] = [];
    const { device: observed } = new ObservedDevice(device, {
      rewriteCode: (code) => {
        if (code.includes('fn route(')) routing.push(code);
        return code;
      },
    });
    for (const config of [...CONFIGS, { experts: 128, topK: 8, logitsDtype: 'bf16' } as const]) {
      await using router = await createWebGpuRouter(config, { device: observed });
      for (const [tokens, base] of [
        [1, 0],
        [3, BINDING_ALIGNMENT],
        [37, 3 * BINDING_ALIGNMENT],
        [4099, 0],
      ] as const) {
        const input = someCall(config, tokens);
        const places = { ...sharedPlaces(router, input, base), logits: { buffer: 'logits', offset: base } };
        const call = new PlacedCall(router, input, places);
        call.submit();
        assert.deepEqual(await call.problems(), []);
        call.destroy();
      }
    }
    assert.ok(routing.length >= 2 * CONFIGS.length, `${routing.length} shaders`);
    for (const code of routing) assert.doesNotMatch(code, /var<uniform>/);
  });

  it('reads the row count when the commands run, not when they are encoded', async () => {
    await using router = await createRouter(EVERYTHING);
    const call = new PlacedCall(router, { ...someCall(EVERYTHING, 9), deviceRowCount: 5 });
    const { buffer } = call.buffers.rowCount ?? {};
    assert.ok(buffer !== undefined);
    router.gpuDevice.queue.writeBuffer(buffer, 0, Uint32Array.of(9));
    const commands = router.gpuDevice.createCommandEncoder();
    const pass = commands.beginComputePass();
    router.encode(pass, call.buffers, call.input.options);
    pass.end();
    router.gpuDevice.queue.writeBuffer(buffer, 0, Uint32Array.of(5));
    router.gpuDevice.queue.submit([commands.finish()]);
    assert.deepEqual(await call.problems(), []);
    call.destroy();
  });

  it('writes many calls into one pass, and passes that are submitted in another order', async () => {
    await using router = await createRouter(EVERYTHING);
    const calls = Array.from({ length: 150 }, (_, i) => {
      const call = someCall(EVERYTHING, 1 + (i % 30), 16 + (i % 7));
      return new PlacedCall(router, { ...call, options: { ...call.options, rowCount: i % (1 + (i % 30)) } });
    });
    const parts = [calls.slice(0, 100), calls.slice(100)].map((part) => {
      const commands = router.gpuDevice.createCommandEncoder();
      const pass = commands.beginComputePass();
      for (const call of part) router.encode(pass, call.buffers, call.input.options);
      pass.end();
      return commands.finish();
    });
    for (const commands of parts.toReversed()) router.gpuDevice.queue.submit([commands]);
    for (const call of calls) {
      assert.deepEqual(await call.problems(), []);
      call.destroy();
    }
  });

  it('makes an empty plan of no tokens', async () => {
    await using router = await createRouter(EVERYTHING);
    const call = new PlacedCall(router, { ...someCall(EVERYTHING, 1), options: { tokens: 0 } });
    call.submit();
    assert.deepEqual(await call.problems(), []);
    call.destroy();
  });

  describe('refuses with InvalidArgumentError', () => {
    const wrong: readonly (readonly [what: string, argument: string, text: RegExp, change: Change])[] = [
      ['logits at an odd byte', 'logits', /multiple of 2 bytes · found 3/, at('logits', 3)],
      ['weights at half a word', 'weights', /multiple of 4 bytes · found 2/, at('weights', 2)],
      ['ids at half a word', 'ids', /multiple of 4 bytes · found 6/, at('ids', 6)],
      ['indices at half a word', 'tokenExpertIndices', /multiple of 4 bytes/, at('tokenExpertIndices', 1)],
      [
        'expert offsets at half a word',
        'dispatchPlan.expertOffsets',
        /multiple of 4 bytes/,
        planAt('expertOffsets', 2),
      ],
      ['sorted slots at half a word', 'dispatchPlan.sortedSlots', /multiple of 4 bytes/, planAt('sortedSlots', 2)],
      ['a row count at half a word', 'rowCount', /multiple of 4 bytes/, at('rowCount', 2)],
      ['a negative offset', 'weights', /found -4/, at('weights', -4)],
      ['half an offset', 'paddingMask', /found 0\.5/, at('paddingMask', 0.5)],
      ['an offset that is no number', 'ids', /found NaN/, at('ids', Number.NaN)],
      ['weights past the end of their buffer', 'weights', /must hold 132 bytes .* found 128/, at('weights', 4)],
      ['a mask past the end of its buffer', 'paddingMask', /must hold 12 bytes .* found 8/, at('paddingMask', 1)],
      [
        'a missing plan',
        'dispatchPlan',
        /needs a buffer for dispatchPlan · found none/,
        (b) => ({ ...b, dispatchPlan: undefined }),
      ],
      [
        'half a plan',
        'dispatchPlan.sortedSlots',
        /needs a buffer for dispatchPlan.sortedSlots · found none/,
        withHalfAPlan,
      ],
      ['two outputs in one place', 'ids', /weights/, (b) => ({ ...b, ids: b.weights })],
      ['an output in the logits', 'weights', /logits/, (b) => ({ ...b, weights: b.logits })],
      ['a mask in an output', 'paddingMask', /weights/, (b) => ({ ...b, paddingMask: b.weights })],
    ];
    let router: WebGpuRouter | null = null;
    let call: PlacedCall | null = null;
    before(async () => {
      router = await createRouter(EVERYTHING);
      call = new PlacedCall(router, {
        ...someCall(EVERYTHING, 8),
        paddingMask: new Uint8Array(8),
        deviceRowCount: 8,
      });
    });
    after(async () => {
      call?.destroy();
      await router?.dispose();
    });

    for (const [what, argument, text, change] of wrong) {
      it(what, () => {
        assert.ok(call !== null);
        assertRefused(call, change(call.buffers) as RouterGpuBuffers, argument, text);
      });
    }

    it('outputs of one buffer that lie closer than bindings can', () => {
      assert.ok(call !== null && router !== null && device !== null);
      const buffer = device.createBuffer({ size: 1024, usage: STORAGE });
      const buffers = { ...call.buffers, weights: { buffer }, ids: { buffer, offset: 128 } };
      assertRefused(call, buffers, 'ids', /multiples of 256 bytes.* found weights at offset/);
      buffer.destroy();
    });

    it('a buffer without the usage STORAGE', () => {
      assert.ok(call !== null && device !== null);
      const buffer = device.createBuffer({ size: 1024, usage: COPY_DST });
      assertRefused(call, { ...call.buffers, ids: { buffer } }, 'ids', /usage STORAGE · found 0x8/);
      buffer.destroy();
    });

    it('a range that the configuration does not have', async () => {
      assert.ok(call !== null);
      await using plain = await createRouter({ experts: 16, topK: 4, logitsDtype: 'bf16' });
      const { logits, weights, ids, dispatchPlan, tokenExpertIndices } = call.buffers;
      assert.ok(dispatchPlan !== undefined && tokenExpertIndices !== undefined);
      const small = new PlacedCall(plain, call.input);
      assertRefused(small, { logits, weights, ids, dispatchPlan }, 'dispatchPlan', /has no dispatchPlan/);
      const indices = { logits, weights, ids, tokenExpertIndices };
      assertRefused(small, indices, 'tokenExpertIndices', /has no tokenExpertIndices/);
      small.destroy();
    });

    it('numbers of tokens, strides and row counts out of range', () => {
      assert.ok(call !== null && router !== null);
      for (const [argument, options] of [
        ['tokens', { tokens: -1 }],
        ['tokens', { tokens: 1.5 }],
        ['tokens', { tokens: 2 ** 30 }],
        ['rowStride', { tokens: 8, rowStride: 15 }],
        ['rowCount', { tokens: 8, rowCount: 9 }],
      ] as const) {
        assertRefused(call, call.buffers, argument, new RegExp(`^${argument} must be`), options);
      }
    });
  });
});

type Change = (buffers: RouterGpuBuffers) => object;

function at(name: Exclude<keyof RouterGpuBuffers, 'dispatchPlan'>, offset: number): Change {
  return (buffers) => ({ ...buffers, [name]: { ...buffers[name], offset } });
}

function planAt(name: keyof PlanGpuBuffers, offset: number): Change {
  return ({ dispatchPlan, ...buffers }) => ({
    ...buffers,
    dispatchPlan: { ...dispatchPlan, [name]: { ...dispatchPlan?.[name], offset } },
  });
}

function withHalfAPlan({ dispatchPlan, ...buffers }: RouterGpuBuffers): object {
  return { ...buffers, dispatchPlan: { expertOffsets: dispatchPlan?.expertOffsets } };
}

/** Nothing may be encoded either: the pass stays valid. */
function assertRefused(
  call: PlacedCall,
  buffers: RouterGpuBuffers,
  argument: string,
  text: RegExp,
  options = call.input.options,
): void {
  const commands = call.router.gpuDevice.createCommandEncoder();
  const pass = commands.beginComputePass();
  assert.throws(
    () => call.router.encode(pass, buffers, options),
    (error: unknown) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.equal(error.argument, argument);
      assert.match(error.message, text);
      assertMessageForm(error.message);
      return true;
    },
  );
  pass.end();
  call.router.gpuDevice.queue.submit([commands.finish()]);
}

function someCall(config: RouterConfig, tokens: number, rowStride: number = config.experts): CallInput {
  const length = (tokens - 1) * rowStride + config.experts;
  const values = Float32Array.from({ length }, (_, i) => 4 * Math.sin(i * i + tokens));
  const logits: Logits = encodeLogits(values, config.logitsDtype ?? 'f32');
  return { logits, options: { tokens, rowStride } };
}

/** Outputs one after another in one buffer, inputs in another, each as close as its kind allows. */
function sharedPlaces(router: WebGpuRouter, input: CallInput, base: number): Placement {
  const ends = { inputs: base + 2, outputs: base };
  return Object.fromEntries(
    [...rangeBytes(router.config, input)].map(([name, bytes]) => {
      const isInput = name === 'logits' || name === 'paddingMask' || name === 'rowCount';
      const buffer = isInput ? 'inputs' : 'outputs';
      const step = isInput ? (name === 'rowCount' ? 4 : 1) : BINDING_ALIGNMENT;
      const offset = Math.ceil(ends[buffer] / step) * step;
      ends[buffer] = offset + bytes;
      return [name, { buffer, offset }];
    }),
  );
}
