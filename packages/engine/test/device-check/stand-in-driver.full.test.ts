import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HOST_COMPILER } from '@switchyard/gpu/testing';
import type { GptOssConfig } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { runnerToLoad } from '../../src/cli/runner-to-load.ts';
import { Engine, type LoadedModel } from '../../src/engine.ts';
import { resolveEngineOptions } from '../../src/options.ts';

/** Compiled as C, whatever the compiler's name. */
const OPTIONS = ['-x', 'c', '-shared', '-fPIC', '-w', '-O1'];
const VARIABLES = ['ROCM_PATH', 'STAND_IN_DRIVER', 'SWITCHYARD_CACHE_DIR'] as const;

describe('a load on a machine whose GPU is not right', function () {
  this.timeout(120_000);
  const variables = new Map(VARIABLES.map((name) => [name, process.env[name]]));
  let folder = '';
  before(function () {
    skipWithoutHostCompiler.call(this);
    folder = mkdtempSync(join(tmpdir(), 'switchyard-stand-in-'));
    const libraries = join(folder, 'lib');
    mkdirSync(libraries);
    const source = fileURLToPath(new URL('stand-in-driver.c', import.meta.url));
    execFileSync(HOST_COMPILER, [...OPTIONS, source, '-o', join(libraries, 'libamdhip64.so')]);
    symlinkSync('libamdhip64.so', join(libraries, 'libhiprtc.so'));
    process.env['ROCM_PATH'] = folder;
  });
  after(() => {
    for (const [name, value] of variables) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  /** Loads the embedded model; gives what was taken and what was logged, by level. */
  async function load(): Promise<{ model: LoadedModel; config: GptOssConfig; logged: readonly string[] }> {
    const logged: string[] = [];
    const at =
      (level: string) =>
      (message: string): void =>
        void logged.push(`${level}: ${message}`);
    const logger = { info: at('info'), warn: at('warn') };
    await using engine = await Engine.load(undefined, { runner: 'auto', logger, kvCacheBytes: 2 ** 24 });
    return { model: engine.model, config: engine.config, logged };
  }

  for (const [behavior, kind, found] of [
    ['idle', 'wrong', /all prompts whole/],
    ['hang', 'hung', /does not finish a step/],
    ['fault', 'ended', /SIGABRT \(Memory access fault by GPU/],
  ] as const) {
    it(`goes on to the CPU, warns once and remembers: ${behavior}`, async () => {
      process.env['STAND_IN_DRIVER'] = behavior;
      const cache = join(folder, behavior);
      process.env['SWITCHYARD_CACHE_DIR'] = cache;
      const first = await load();
      assert.ok(!first.model.runner.startsWith('hip'));
      assert.equal(first.model.router.backend, 'cpu', 'nor does it route on that GPU');
      assert.deepEqual(
        first.model.passedOver.slice(0, 1).map(({ runner, code }) => [runner, code]),
        [['hip', 'DEVICE_CHECK_FAILED']],
      );
      assert.match(first.model.passedOver[0]?.reason ?? '', /^Stand-in GPU \(gfx90a, driver 60342134\)/);
      assert.ok(first.logged.includes('info: checking the answers of a GPU not seen before'));
      assert.ok(first.logged.includes('warn: runner passed over'));

      const kept = join(cache, 'kernels');
      const [name = ''] = readdirSync(kept).filter((file) => file.startsWith('device-check-'));
      const record = JSON.parse(readFileSync(join(kept, name), 'utf8')) as { failure: { kind: string; found: string } };
      assert.equal(record.failure.kind, kind);
      assert.match(record.failure.found, found);

      const second = await load();
      assert.match(second.model.passedOver[0]?.reason ?? '', /by an earlier check: .*verify --runner hip/);
      assert.ok(!second.logged.some((line) => /checking|warn/.test(line)));
      const options = { ...resolveEngineOptions({}), kvCacheBytes: undefined };
      const { passedOver } = await runnerToLoad(second.config, options);
      assert.equal(passedOver[0]?.reason, second.model.passedOver[0]?.reason, 'inspect says the same');
    });
  }
});
