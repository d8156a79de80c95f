/** The WebGPU gated router's one dispatch for few tokens, against its dispatches for many. On SwiftShader. */

import assert from 'node:assert/strict';
import { expertTilesLength } from '../../src/expert-tiles.ts';
import { KernelCompileError, OutOfDeviceMemoryError } from '../../src/errors.ts';
import type { GatedRouterConfig, HiddenStates } from '../../src/gate/gate-contract.ts';
import { encodeLogits } from '../../src/number-formats.ts';
import { GATE_ROWS } from '../../src/webgpu/kernel/gate-values.ts';
import { createWebGpuGatedRouter, WebGpuDeviceLostError } from '../../src/webgpu/index.ts';
import type { GatedRouterGpuBuffers, WebGpuGatedRouter } from '../../src/webgpu/index.ts';
import { ObservedDevice } from './observed-device.ts';
import type { DeviceDisguise } from './observed-device.ts';
import { makeUnallocatedBuffer, requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

/** GPUBufferUsage */
const [COPY_SRC, STORAGE_COPIES, READBACK] = [0x4, 0x8c, 0x9];
/** Buffers that a dispatch of everything binds, and that every device binds. */
const [ALL_BUFFERS, LEAST_BUFFERS] = [12, 8];
const HAND_OVER = 'gate hand-over';

type Shape = Omit<GatedRouterConfig, 'gateWeight' | 'gateBias'>;

const SHAPE: Shape = { experts: 16, topK: 4, hiddenSize: 40 };
const correctionBias = Float32Array.from({ length: 16 }, (_, expert) => ((expert * 7) % 11) / 20 - 0.2);
const IS_FULL = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
/** What routers are asked for, and the dispatches of many tokens beside gate and router. */
const CONFIGS: readonly (readonly [what: string, shape: Shape, others: number])[] = [
  ['nothing else', SHAPE, 0],
  ['a plan', { ...SHAPE, dispatchPlan: true }, 1],
  ['tiles, ids of 64 bits', { ...SHAPE, dispatchPlan: true, expertTiles: 16, idsDtype: 'i64' }, 2],
  ['a range', { ...SHAPE, expertRange: [3, 9], dispatchPlan: true, expertTiles: 64, tokenExpertIndices: true }, 2],
  ['groups', { ...SHAPE, scoring: 'sigmoid', correctionBias, groups: 4, topKGroups: 2, dispatchPlan: true }, 1],
  ['sums of rows', { ...SHAPE, experts: 13, renormalize: false, hiddenDtype: 'f32', dispatchPlan: true }, 1],
  ['all experts', { ...SHAPE, experts: 8, topK: 8, dispatchPlan: true, expertTiles: 32, tokenExpertIndices: true }, 2],
];

/** What an `encode` call has beside its tokens: `offset` is in bytes, before each output. */
type Layout = readonly [offset: number, hasMask: boolean, rowCount: number | null];

const ALL_LAYOUTS: readonly (readonly [tokens: number, ...Layout])[] = [
  [GATE_ROWS, 0, false, null],
  [3, 4, true, 2],
  [GATE_ROWS + 1, 0, false, null],
  [1, 0, false, null],
  [2, 4, false, null],
  [3, 256, true, null],
];
const LAYOUTS = IS_FULL ? ALL_LAYOUTS : ALL_LAYOUTS.slice(0, 3);

describe('WebGPU gated router in one dispatch', function () {
  this.timeout(120_000);
  let real: GPUDevice;
  const uncaptured: string[] = [];

  before(skipWithoutWebGpu);
  beforeEach(async () => {
    real = await requestSoftwareDevice(['subgroups'], { maxStorageBuffersPerShaderStage: ALL_BUFFERS });
    real.onuncapturederror = ({ error }) => uncaptured.push(error.message);
  });
  afterEach(() => {
    real.destroy();
    assert.deepEqual(uncaptured.splice(0), []);
  });

  /** A router, and the workgroups of each of its dispatches. */
  async function open(
    config: GatedRouterConfig,
    disguise: DeviceDisguise & { readonly path?: 'subgroups' | 'workgroup' } = {},
  ): Promise<{ router: WebGpuGatedRouter; dispatches: (readonly [columns: number, rows: number])[] }> {
    const { path = 'auto', ...shown } = disguise;
    const dispatches: (readonly [number, number])[] = [];
    const onDispatch = (columns: number, rows: number): number => dispatches.push([columns, rows]);
    const { device } = new ObservedDevice(real, { ...shown, onDispatch });
    return { router: await createWebGpuGatedRouter(config, { device, path }), dispatches };
  }

  /** A router whose device binds too few buffers for the one dispatch. */
  const openApart = (config: GatedRouterConfig): ReturnType<typeof open> =>
    open(config, { limits: { maxStorageBuffersPerShaderStage: 5 } });

  const cases = CONFIGS.flatMap(([what, shape, others], i) =>
    (['subgroups', 'workgroup'] as const)
      // Each compiles shaders for seconds.
      .filter((path) => IS_FULL || i === { subgroups: 2, workgroup: 1 }[path])
      .map((path) => ({ what, config: gateOf(shape), others, path })),
  );
  for (const { what, config, others, path } of cases) {
    it(`writes the bytes that several write: ${what}, path ${path}`, async () => {
      const { router, dispatches } = await open(config, { path });
      const apart = await open(config, { path, limits: { maxStorageBuffersPerShaderStage: 5 } });
      for (const [tokens, ...layout] of LAYOUTS) {
        dispatches.length = 0;
        apart.dispatches.length = 0;
        const written = await encodeAndRead(router, config, tokens, layout);
        assert.deepEqual(written, await encodeAndRead(apart.router, config, tokens, layout), `${tokens} tokens`);
        assert.equal(dispatches.length, tokens <= GATE_ROWS ? 1 : 2 + others);
        assert.equal(apart.dispatches.length, 2 + others);
      }
      await Promise.all([router.dispose(), apart.router.dispose()]);
    });
  }

  it('is what every device can do with a plan, or with padding, and one that binds more with both', async () => {
    const config = gateOf({ ...SHAPE, dispatchPlan: true });
    for (const [most, padding, count] of [
      [LEAST_BUFFERS, {}, 1],
      [LEAST_BUFFERS, { rowCount: 1 }, 3],
      [LEAST_BUFFERS + 2, { rowCount: 1 }, 1],
    ] as const) {
      const { router, dispatches } = await open(config, { limits: { maxStorageBuffersPerShaderStage: most } });
      await router.route(hiddenOf(config, 2), padding);
      assert.equal(dispatches.length, count, `${most} buffers`);
      await router.dispose();
    }
    const plain = await open(gateOf(SHAPE), { limits: { maxStorageBuffersPerShaderStage: LEAST_BUFFERS } });
    await plain.router.route(hiddenOf(gateOf(SHAPE), 2), { rowCount: 1 });
    assert.equal(plain.dispatches.length, 1);
    await plain.router.dispose();
  });

  it('is left where a workgroup has not the memory', async function () {
    // Networks of 32 keys compile for seconds.
    if (!IS_FULL) this.skip();
    const config = gateOf({ ...SHAPE, experts: 128, topK: 32 });
    for (const [path, count] of [
      ['subgroups', 1],
      ['workgroup', 2],
    ] as const) {
      const { router, dispatches } = await open(config, { path });
      await router.route(hiddenOf(config, 1));
      assert.equal(dispatches.length, count, path);
      await router.dispose();
    }
  });

  it('leaves nothing behind for the next dispatch', async () => {
    const handOvers: GPUBuffer[] = [];
    const makeBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer | null => {
      if (descriptor.label !== HAND_OVER) return null;
      const buffer = real.createBuffer({ ...descriptor, usage: descriptor.usage | COPY_SRC });
      handOvers.push(buffer);
      return buffer;
    };
    const config = gateOf({ ...SHAPE, experts: 30, dispatchPlan: true });
    const { router } = await open(config, { makeBuffer });
    const apart = await openApart(config);
    const counts = Array.from({ length: 20 }, (_, i) => 1 + ((i * 7) % (GATE_ROWS + 1)));
    const found = await Promise.all(counts.map((tokens) => router.route(hiddenOf(config, tokens))));
    for (const [i, tokens] of counts.entries()) {
      assert.deepEqual(found[i], await apart.router.route(hiddenOf(config, tokens)), `call ${i} of ${tokens}`);
    }
    const [handOver] = handOvers;
    assert.ok(handOver !== undefined && handOvers.length === 1);
    const words = new Uint32Array((await read(real, handOver)).buffer);
    assert.equal(words.length, 1 + GATE_ROWS * config.experts);
    assert.ok(words.every((word) => word === 0));
    await Promise.all([router.dispose(), apart.router.dispose()]);
  });

  it('asks again for logits that are not to be seen yet when the count says that all are there', async () => {
    const store = /  if \(local < gate_call\.tokens\) \{\n    atomicStore\([^}]*\}\n/;
    const firstAsk = 'var word = atomicExchange(&hand_over.words[at], 0u);';
    let changed = 0;
    const rewriteCode = (code: string): string => {
      const [stored] = store.exec(code) ?? [];
      if (stored === undefined || !code.includes(firstAsk)) return code;
      changed++;
      // No first ask finds anything, and the logits of one expert are stored some time after its arrival.
      const late = `if (expert == 0u) {
        for (var turn = 0u; turn < 3000u; turn++) { atomicOr(&hand_over.arrived, 0u); }
        ${stored}
      }\n`;
      return code
        .replace(firstAsk, 'var word = 0u;')
        .replace(stored, `if (expert != 0u) {\n${stored}}\n`)
        .replace('  if (workgroupUniformLoad(&arrivals_before)', `${late}  if (workgroupUniformLoad(&arrivals_before)`);
    };
    const config = gateOf(SHAPE);
    const { router } = await open(config, { rewriteCode });
    const apart = await openApart(config);
    for (let turn = 0; turn < 8; turn++) {
      const hidden = hiddenOf(config, 1 + (turn % GATE_ROWS));
      assert.deepEqual(await router.route(hidden), await apart.router.route(hidden));
    }
    assert.ok(changed > 0);
    await Promise.all([router.dispose(), apart.router.dispose()]);
  });

  it('hands over a NaN of all bits, infinities and zeros', async () => {
    const config = gateOf({ ...SHAPE, hiddenDtype: 'f32' });
    const hidden = new Float32Array(GATE_ROWS * config.hiddenSize);
    const bits = new Uint32Array(hidden.buffer);
    bits.fill(0xffffffff, 0, config.hiddenSize);
    bits[config.hiddenSize + 5] = 0xffffffff;
    hidden[2 * config.hiddenSize] = Infinity;
    const { router } = await open(config);
    const apart = await openApart(config);
    const [one, several] = await Promise.all([router.route(hidden), apart.router.route(hidden)]);
    const bitsOf = ({ routerLogits }: typeof one): Uint32Array => new Uint32Array(routerLogits.buffer);
    assert.deepEqual(bitsOf(one), bitsOf(several));
    assert.deepEqual([one.ids, one.weights], [several.ids, several.weights]);
    assert.ok(one.routerLogits.subarray(0, 2 * config.experts).every(Number.isNaN));
    assert.ok(bitsOf(one).every((logit) => logit !== 0xffffffff));
    await Promise.all([router.dispose(), apart.router.dispose()]);
  });

  it('spreads its workgroups over two dimensions, with some to spare', async () => {
    const config = gateOf({ ...SHAPE, dispatchPlan: true });
    const { router, dispatches } = await open(config, { limits: { maxComputeWorkgroupsPerDimension: 5 } });
    const apart = await openApart(config);
    const hidden = hiddenOf(config, 3);
    for (let turn = 0; turn < 3; turn++) {
      assert.deepEqual(await router.route(hidden), await apart.router.route(hidden));
    }
    assert.deepEqual(
      dispatches,
      Array.from({ length: 3 }, () => [5, 4]),
    );
    await Promise.all([router.dispose(), apart.router.dispose()]);
  });

  it('that does not compile, or has no memory, leaves no buffer behind', async () => {
    const noMemory = ({ label }: GPUBufferDescriptor): GPUBuffer | null =>
      label === HAND_OVER ? makeUnallocatedBuffer(real, 16) : null;
    for (const [disguise, expected] of [
      [{ rewriteCode: (code: string) => code.replace('fn form_logits(', 'fn no_logits(') }, KernelCompileError],
      [{ makeBuffer: noMemory }, OutOfDeviceMemoryError],
    ] as const) {
      const observed = new ObservedDevice(real, disguise);
      await assert.rejects(createWebGpuGatedRouter(gateOf(SHAPE), { device: observed.device }), expected);
      assert.equal(observed.count('buffer').alive, 0);
    }
  });

  it('of a lost device is a WebGpuDeviceLostError', async () => {
    const config = gateOf(SHAPE);
    const { router } = await open(config);
    const hidden = hiddenOf(config, 2);
    const running = router.route(hidden);
    const outcome = Promise.allSettled([running]);
    real.destroy();
    const [during] = await outcome;
    assert.ok(during?.status === 'rejected' && during.reason instanceof WebGpuDeviceLostError);
    await real.lost;
    await assert.rejects(router.route(hidden), WebGpuDeviceLostError);
    await router.dispose();
  });
});

function numbers(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(i * i * 0.37 + i + seed));
}

function gateOf(shape: Shape): GatedRouterConfig {
  const gateWeight = encodeLogits(numbers(shape.experts * shape.hiddenSize, 1), 'bf16');
  assert.ok(gateWeight instanceof Uint16Array);
  return { ...shape, gateWeight, gateBias: numbers(shape.experts, 2) };
}

function hiddenOf({ hiddenSize, hiddenDtype = 'bf16' }: GatedRouterConfig, tokens: number): HiddenStates {
  return encodeLogits(numbers(tokens * hiddenSize, tokens), hiddenDtype);
}

/** Routes by `encode`, each output in a buffer of its own, and returns the bytes of all of them. */
async function encodeAndRead(
  router: WebGpuGatedRouter,
  config: GatedRouterConfig,
  tokens: number,
  [offset, hasMask, rowCount]: Layout,
): Promise<Record<string, Uint8Array>> {
  const { gpuDevice: device } = router;
  const { experts, topK, idsDtype, tokenExpertIndices = false, dispatchPlan = false, expertTiles } = config;
  const slots = tokens * topK;
  const outputs: Record<string, GPUBuffer> = {};
  const made: GPUBuffer[] = [];
  const range = (size: number, at: number): { buffer: GPUBuffer; offset: number } => {
    const buffer = device.createBuffer({ size: at + size, usage: STORAGE_COPIES });
    // What is not written shows.
    device.queue.writeBuffer(buffer, 0, new Uint8Array(at + size).fill(0xa5));
    made.push(buffer);
    return { buffer, offset: at };
  };
  const output = (name: string, elements: number, at = offset): { buffer: GPUBuffer; offset: number } => {
    const placed = range(elements * 4, at);
    outputs[name] = placed.buffer;
    return placed;
  };
  const input = (values: HiddenStates | Uint8Array | Uint32Array, at: number) => {
    const placed = range(Math.ceil(values.byteLength / 4) * 4, at);
    const bytes = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    device.queue.writeBuffer(placed.buffer, at, bytes);
    return placed;
  };
  const tiles = { experts, topK, expertTiles: expertTiles ?? 16 };
  const buffers: GatedRouterGpuBuffers = {
    hidden: input(hiddenOf(config, tokens), 16 * (offset % 7)),
    logits: output('logits', tokens * experts, 16 * (offset % 5)),
    weights: output('weights', slots),
    ids: output('ids', idsDtype === 'i64' ? 2 * slots : slots),
    ...(tokenExpertIndices && { tokenExpertIndices: output('tokenExpertIndices', slots) }),
    ...(dispatchPlan && {
      dispatchPlan: {
        expertOffsets: output('expertOffsets', experts + 1),
        sortedSlots: output('sortedSlots', slots),
        ...(expertTiles !== undefined && { expertTiles: output('expertTiles', expertTilesLength(tiles, tokens)) }),
      },
    }),
    ...(hasMask && { paddingMask: input(Uint8Array.of(0, 1, 0, 0), 0) }),
    ...(rowCount !== null && { rowCount: input(Uint32Array.of(rowCount), 4) }),
  };
  const commands = device.createCommandEncoder();
  const pass = commands.beginComputePass();
  router.encode(pass, buffers, { tokens });
  pass.end();
  device.queue.submit([commands.finish()]);
  const names = Object.entries(outputs).map(async ([name, buffer]) => [name, await read(device, buffer)] as const);
  const written = Object.fromEntries(await Promise.all(names));
  for (const buffer of made) buffer.destroy();
  return written;
}

/** The bytes of a buffer. */
async function read(device: GPUDevice, buffer: GPUBuffer): Promise<Uint8Array<ArrayBuffer>> {
  const readback = device.createBuffer({ size: buffer.size, usage: READBACK });
  const commands = device.createCommandEncoder();
  commands.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
  device.queue.submit([commands.finish()]);
  await readback.mapAsync(1);
  const bytes = new Uint8Array(readback.getMappedRange().slice(0));
  readback.destroy();
  return bytes;
}
