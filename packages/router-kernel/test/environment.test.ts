import assert from 'node:assert/strict';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { createRouter } from '../src/create-router.ts';
import { environmentVariables, homeFolder } from '@switchyard/gpu/environment';
import { CompileCache, defaultCacheFolder } from '@switchyard/gpu';
import { createHipRouter } from '../src/hip/router.ts';
import { STAND_IN_COMPILER, standInGpu } from './hip/stand-in-gpu.ts';

const config = { experts: 8, topK: 2 } as const;
const logits = Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7);

/** The calls of node:os that ask the system, each of which fails on some machine. */
const ASKING = ['homedir', 'tmpdir', 'cpus', 'availableParallelism', 'freemem', 'totalmem', 'userInfo', 'hostname'];

/** Runs a test while every one of them fails, and while the environment may not be read. */
async function withoutAnswers(test: () => Promise<void>): Promise<void> {
  const originals = new Map(ASKING.map((name) => [name, Reflect.get(os, name)]));
  const variables = Object.getOwnPropertyDescriptor(process, 'env');
  assert.ok(variables !== undefined);
  for (const name of ASKING) {
    Reflect.set(os, name, () => {
      throw new Error(`A system error occurred: uv_os_${name} returned ENOENT`);
    });
  }
  syncBuiltinESMExports();
  Object.defineProperty(process, 'env', {
    configurable: true,
    get() {
      throw new Error('NotCapable: Requires env access');
    },
  });
  try {
    await test();
  } finally {
    Object.defineProperty(process, 'env', variables);
    for (const [name, original] of originals) Reflect.set(os, name, original);
    syncBuiltinESMExports();
  }
}

describe('a process whose surroundings answer nothing', () => {
  it('has no home folder and no variables', () =>
    withoutAnswers(async () => {
      assert.equal(homeFolder(), null);
      assert.deepEqual(environmentVariables(), {});
      assert.equal(defaultCacheFolder(), null);
    }));

  it('compiles without a cache on disk, says so, and compiles once where calls overlap', () =>
    withoutAnswers(async () => {
      const warnings: string[] = [];
      const cache = new CompileCache({ logger: { warn: (message) => void warnings.push(message) } });
      let calls = 0;
      const compiler = {
        ...STAND_IN_COMPILER,
        compile: () => {
          calls += 1;
          return Uint8Array.of(7);
        },
      };
      const request = { source: 'kernel', name: 'k.hip', architecture: 'gfx942', defines: {} };
      const made = await Promise.all([cache.compile(compiler, request), cache.compile(compiler, request)]);
      assert.deepEqual(made, [Uint8Array.of(7), Uint8Array.of(7)]);
      assert.equal(calls, 1);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', /no home folder.*SWITCHYARD_CACHE_DIR/);
    }));

  it('makes a HIP router', () =>
    withoutAnswers(async () => {
      const options = { driver: standInGpu(config), compiler: STAND_IN_COMPILER, prepare: 'none' } as const;
      await using router = await createHipRouter(config, options);
      assert.deepEqual([...(await router.route(logits)).ids], [7, 6]);
    }));

  it('makes a router of whichever backend starts', () =>
    withoutAnswers(async () => {
      await using router = await createRouter({ ...config, backend: 'auto' });
      assert.deepEqual([...(await router.route(logits)).ids], [7, 6]);
    }));
});

describe('the home folder', () => {
  it('is none where the system names an empty one', () => {
    const original = Reflect.get(os, 'homedir');
    Reflect.set(os, 'homedir', () => '');
    syncBuiltinESMExports();
    try {
      assert.equal(homeFolder(), null);
    } finally {
      Reflect.set(os, 'homedir', original);
      syncBuiltinESMExports();
    }
  });
});
