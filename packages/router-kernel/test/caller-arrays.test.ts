/// <reference lib="es2024.arraybuffer" />
/// <reference lib="es2024.sharedmemory" />
/** What callers may pass as arrays, and do with them afterwards: the same on every backend. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import type { Logits, LogitsDtype, RouteOptions, Router, RouterConfig, RouterOutput } from '../src/contract.ts';
import { buildDispatchPlan, createCpuRouter, RouterError } from '../src/index.ts';
import { createHipRouter } from '../src/hip/router.ts';
import { encodeLogits } from '../src/number-formats.ts';
import { createWebGpuRouter } from '../src/webgpu/index.ts';
import { STAND_IN_COMPILER, standInGpu } from './hip/stand-in-gpu.ts';
import { skipWithoutWebGpu } from './webgpu/software-webgpu.ts';

type InputArray = Uint8Array | Uint16Array | Float32Array;

/** The constructors of another realm, as a test runner's sandbox has them. */
const other = runInNewContext('({ Uint8Array, Uint16Array, Float32Array, ArrayBuffer, Int32Array, Uint32Array })') as {
  readonly Uint8Array: Uint8ArrayConstructor;
  readonly Uint16Array: Uint16ArrayConstructor;
  readonly Float32Array: Float32ArrayConstructor;
  readonly Int32Array: Int32ArrayConstructor;
  readonly Uint32Array: Uint32ArrayConstructor;
  readonly ArrayBuffer: ArrayBufferConstructor;
};
const here = { Uint8Array, Uint16Array, Float32Array };

type Realm = Pick<typeof other, 'Uint8Array' | 'Uint16Array' | 'Float32Array'>;

function kindOf(array: InputArray): keyof Realm {
  return array[Symbol.toStringTag];
}

/** A view of the values over a buffer; a length-tracking one where `length` is undefined. */
function viewOn(
  realm: Realm,
  values: InputArray,
  buffer: ArrayBufferLike,
  offset: number,
  length?: number,
): InputArray {
  const view = new realm[kindOf(values)](buffer as ArrayBuffer, offset, length);
  for (const [index, value] of values.entries()) view[index] = value;
  return view;
}

/** Of the platform's types, @types/node has no values of this namespace. */
const { Memory } = Reflect.get(globalThis, 'WebAssembly') as {
  readonly Memory: new (shape: { initial: number; maximum: number; shared: boolean }) => { buffer: ArrayBufferLike };
};

function wasmMemory(bytes: number, shared: boolean): ArrayBufferLike {
  const pages = Math.ceil((bytes + 64) / 65_536);
  return new Memory({ initial: pages, maximum: pages + 1, shared }).buffer;
}

/** The same values over each kind of memory that JavaScript has. */
const MEMORIES: Readonly<Record<string, (values: InputArray) => InputArray>> = {
  'ordinary memory': (values) => values.slice(),
  'the middle of a buffer': (values) => viewOn(here, values, new ArrayBuffer(values.byteLength + 24), 8, values.length),
  'shared memory': (values) => viewOn(here, values, new SharedArrayBuffer(values.byteLength + 8), 4, values.length),
  'growable shared memory': (values) => {
    const buffer = new SharedArrayBuffer(values.byteLength, { maxByteLength: values.byteLength * 2 });
    return viewOn(here, values, buffer, 0);
  },
  'shared WebAssembly memory': (values) => viewOn(here, values, wasmMemory(values.byteLength, true), 16, values.length),
  'WebAssembly memory': (values) => viewOn(here, values, wasmMemory(values.byteLength, false), 16, values.length),
  'a resizable buffer': (values) => {
    const buffer = new ArrayBuffer(values.byteLength + 8, { maxByteLength: values.byteLength + 64 });
    return viewOn(here, values, buffer, 8, values.length);
  },
  'a resizable buffer whose length it tracks': (values) => {
    const buffer = new ArrayBuffer(4, { maxByteLength: values.byteLength + 64 });
    const view = new here[kindOf(values)](buffer);
    buffer.resize(values.byteLength);
    for (const [index, value] of values.entries()) view[index] = value;
    return view;
  },
  'another realm': (values) => viewOn(other, values, new other.ArrayBuffer(values.byteLength), 0),
  'another realm, over shared memory': (values) => viewOn(other, values, new SharedArrayBuffer(values.byteLength), 0),
};

/** What a caller may do with its arrays while a call is under way. */
const LATER: Readonly<Record<string, (array: InputArray) => void>> = {
  nothing: () => {},
  'writes over it': (array) => array.fill(1),
  'transfers its buffer': (array) => {
    const { buffer } = array;
    if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
    else array.fill(1);
  },
  'shrinks its buffer': (array) => {
    const { buffer } = array;
    if (buffer instanceof ArrayBuffer && buffer.resizable) buffer.resize(0);
    else array.fill(1);
  },
};

const BACKENDS: Readonly<Record<string, (config: RouterConfig, folder: string) => Promise<Router>>> = {
  cpu: async (config) => createCpuRouter(config),
  hip: (config, folder) =>
    createHipRouter(config, {
      driver: standInGpu(config),
      compiler: STAND_IN_COMPILER,
      cacheFolder: folder,
      prepare: 'none',
    }),
  webgpu: (config) => createWebGpuRouter(config, { software: true }),
};

function plain({ ids, weights, tokens }: RouterOutput): unknown {
  return { tokens, ids: Array.from(ids, Number), weights: [...weights] };
}

for (const [backend, create] of Object.entries(BACKENDS)) {
  describe(`arrays of callers on ${backend}`, function () {
    this.timeout(120_000);
    const EXPERTS = 16;
    const routers = new Map<LogitsDtype, Router>();
    let folder: string;

    before(async function () {
      folder = await mkdtemp(path.join(tmpdir(), 'caller-arrays-'));
      if (backend === 'webgpu') await skipWithoutWebGpu.call(this);
      for (const logitsDtype of ['f32', 'bf16'] as const) {
        routers.set(logitsDtype, await create({ experts: EXPERTS, topK: 3, logitsDtype }, folder));
      }
    });

    after(async () => {
      for (const router of routers.values()) await router.dispose();
      await rm(folder, { recursive: true, force: true });
    });

    const routerOf = (dtype: LogitsDtype): Router => {
      const router = routers.get(dtype);
      assert.ok(router !== undefined);
      return router;
    };
    const dtype = fc.constantFrom<LogitsDtype>('f32', 'bf16');
    const values = fc.array(fc.float({ noNaN: true, min: -8, max: 8 }), { minLength: EXPERTS, maxLength: 5 * EXPERTS });

    it('give the same from memory of any kind and realm, whatever happens to them after the call', async () => {
      const call = fc.record({
        logitsDtype: dtype,
        rows: values,
        mask: fc.option(fc.uint8Array({ minLength: 5, maxLength: 5, max: 1 }), { nil: undefined }),
        memory: fc.constantFrom(...Object.keys(MEMORIES)),
        maskMemory: fc.constantFrom(...Object.keys(MEMORIES)),
        later: fc.constantFrom(...Object.keys(LATER)),
        before: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(call, async ({ logitsDtype, rows, mask, memory, maskMemory, later, before }) => {
          const router = routerOf(logitsDtype);
          const ordinary = encodeLogits(rows.slice(0, rows.length - (rows.length % EXPERTS)), logitsDtype);
          const expected = await router.route(ordinary.slice(), mask && { paddingMask: mask.slice() });
          const logits = MEMORIES[memory]?.(ordinary) as Logits;
          const options: RouteOptions = mask ? { paddingMask: MEMORIES[maskMemory]?.(mask) as Uint8Array } : {};
          // Another call under way keeps this one waiting, where calls wait for one another.
          const earlier = before ? router.route(ordinary.slice()) : null;
          const running = router.route(logits, { ...options, tokens: ordinary.length / EXPERTS });
          for (const array of [logits, options.paddingMask]) {
            // WebAssembly keeps its buffers.
            if (array !== undefined) LATER[memory.includes('WebAssembly') ? 'writes over it' : later]?.(array);
          }
          assert.deepEqual(plain(await running), plain(expected));
          await earlier;
        }),
        { numRuns: backend === 'webgpu' ? 60 : 300 },
      );
    });

    it('are refused by name where their memory is gone', async () => {
      const router = routerOf('f32');
      const logits = new Float32Array(2 * EXPERTS);
      structuredClone(logits.buffer, { transfer: [logits.buffer] });
      const resizable = new ArrayBuffer(64, { maxByteLength: 64 });
      const cut = new Float32Array(resizable, 0, 16);
      resizable.resize(8);
      const mask = new Uint8Array(2);
      structuredClone(mask.buffer, { transfer: [mask.buffer] });
      const rows = new Float32Array(2 * EXPERTS);
      const calls: readonly [string, () => Promise<RouterOutput>][] = [
        ['logits', () => router.route(logits)],
        ['logits', () => router.route(logits, { tokens: 0 })],
        ['logits', () => router.route(logits, { tokens: 2 })],
        ['logits', () => router.route(cut)],
        ['paddingMask', () => router.route(rows, { paddingMask: mask })],
        ['paddingMask', () => router.route(rows, { paddingMask: mask, tokens: 0 })],
      ];
      for (const [argument, route] of calls) {
        await assert.rejects(route(), (error) => {
          assert.ok(
            error instanceof RouterError && error.code === 'INVALID_ARGUMENT',
            String(Reflect.get(Object(error), 'stack')),
          );
          assert.equal(Reflect.get(error, 'argument'), argument);
          assert.match(error.message, /detached/);
          return true;
        });
      }
      assert.equal((await router.route(new Float32Array(0))).tokens, 0);
    });

    it('are refused where they are of another kind, of whichever realm', async () => {
      for (const wrong of [
        new Float64Array(EXPERTS),
        new other.Uint16Array(EXPERTS),
        new DataView(new ArrayBuffer(64)),
      ]) {
        await assert.rejects(routerOf('f32').route(wrong as unknown as Logits), { argument: 'logits' });
      }
      const paddingMask = new other.Uint16Array(1) as unknown as Uint8Array;
      await assert.rejects(routerOf('f32').route(new Float32Array(EXPERTS), { paddingMask }), {
        argument: 'paddingMask',
      });
    });

    it('come with options whose names are known', async () => {
      const router = routerOf('f32');
      const logits = new Float32Array(EXPERTS);
      const wrong = { token: 1 } as RouteOptions;
      await assert.rejects(router.route(logits, wrong), (error) => {
        assert.ok(
          error instanceof RouterError && error.code === 'INVALID_ARGUMENT',
          String(Reflect.get(Object(error), 'stack')),
        );
        assert.equal(
          error.message,
          'There is no route option of this name · found "token" · use one of tokens, rowStride, paddingMask, rowCount',
        );
        return true;
      });
      await assert.rejects(router.route(logits, null as unknown as RouteOptions), { argument: 'options' });
      assert.equal((await router.route(logits, Object.create({ token: 1 }) as RouteOptions)).tokens, 1);
    });

    it('may be the correction bias', async () => {
      const bias = Float32Array.from({ length: EXPERTS }, (_, expert) => (expert % 5) / 4);
      const logits = Float32Array.from({ length: EXPERTS }, (_, expert) => Math.sin(expert));
      const config = { experts: EXPERTS, topK: 3, scoring: 'sigmoid' } as const;
      await using expected = await create({ ...config, correctionBias: bias }, folder);
      const wanted = plain(await expected.route(logits));
      for (const [name, place] of Object.entries(MEMORIES)) {
        const correctionBias = place(bias) as Float32Array;
        await using router = await create({ ...config, correctionBias }, folder);
        correctionBias.fill(0);
        assert.deepEqual(plain(await router.route(logits)), wanted, name);
      }
    });
  });
}

describe('arrays of another realm', () => {
  it('hold what CpuRouter.routeInto writes', () => {
    const config = { experts: 4, topK: 2, dispatchPlan: true, tokenExpertIndices: true } as const;
    const logits = Float32Array.of(0, 3, 1, 2);
    for (const [idsDtype, kind] of [['i32', other.Int32Array] as const, ['u32', other.Uint32Array] as const]) {
      const router = createCpuRouter({ ...config, idsDtype });
      const ids = new kind(2);
      const dispatchPlan = { expertOffsets: new other.Int32Array(5), sortedSlots: new other.Int32Array(2) };
      const tokenExpertIndices = new other.Int32Array(2);
      router.routeInto(logits, { ids, weights: new other.Float32Array(2), dispatchPlan, tokenExpertIndices });
      assert.deepEqual([...ids], [1, 3]);
      assert.deepEqual([...dispatchPlan.sortedSlots], [0, 1]);
    }
  });

  it('make a dispatch plan', () => {
    const expected = buildDispatchPlan(Int32Array.of(1, -1, 0), 2);
    assert.deepEqual(buildDispatchPlan(other.Int32Array.of(1, -1, 0), 2), expected);
    assert.deepEqual(buildDispatchPlan(other.Uint32Array.of(1, 0xffff_ffff, 0), 2), expected);
  });
});
