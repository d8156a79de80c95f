import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GpuDriver, GpuEvent, GpuStream } from '@switchyard/gpu';
import { type EmulatedGpu, emulatedGpu } from '@switchyard/gpu/testing';
import { DisposedError } from '../../../src/errors.ts';
import { InvalidStepError, RunnerBusyError, UnknownSequenceError } from '../../../src/runners/errors.ts';
import { KvCacheFullError } from '../../../src/runners/errors.ts';
import { DeviceHungError } from '../../../src/runners/hip/errors.ts';
import { createSyntheticHipRunner } from '../../../src/runners/hip/index.ts';
import { RESERVED_BLOCKS } from '../../../src/runners/hip/plan-memory.ts';
import { kvBlockBytes } from '../../../src/runners/kv-bytes.ts';
import { FEWEST_TILE_TOKENS } from '../../../src/runners/hip/plan-passes.ts';
import { MOST_SPLIT_TOKENS } from '../../../src/runners/hip/sizes.ts';
import { MOST_ROWS } from '../../../src/runners/hip/step-block.ts';
import type { LogitsRunner, LogitsStep, StartedPart, StartedStep } from '../../../src/runners/logits-runner.ts';
import { GREEDY } from '../../../src/runners/suite/suite-run.ts';
import { Sampler } from '../../../src/sampling/sampler.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';
import { SMALL_CONFIG } from './small-model.ts';

/** A device that computes nothing: what is tested here is what the runner does around it. */
interface IdleDevice {
  readonly gpu: EmulatedGpu;
  readonly driver: GpuDriver;
  /** Kernels that were launched, by name, graphs' included. */
  readonly launched: string[];
  /** Whether the device has stopped. */
  hangs: boolean;
  /** Milliseconds that waits were expected to take, and what they answer: whether the device was done before. */
  readonly expected: number[];
  wasDone: boolean;
}

function idleDevice(): IdleDevice {
  const gpu = emulatedGpu({ target: EMULATED_TARGETS[0] });
  const launched: string[] = [];
  const device: IdleDevice = {
    gpu,
    launched,
    hangs: false,
    expected: [],
    wasDone: false,
    driver: {
      ...gpu.driver,
      prepareLaunch: (kernel, description) => {
        const prepared = gpu.driver.prepareLaunch(kernel, description);
        return { ...prepared, launch: () => void launched.push(kernel.name) };
      },
      createStream: (): GpuStream => {
        const stream = gpu.driver.createStream();
        return {
          ...stream,
          synchronize: () => (device.hangs ? new Promise(() => {}) : stream.synchronize()),
        };
      },
      createEvent: (options): GpuEvent => {
        const event = gpu.driver.createEvent(options);
        return {
          ...event,
          passed: async (expectedMs = 0) => {
            device.expected.push(expectedMs);
            await (device.hangs ? new Promise(() => {}) : event.passed());
            return device.wasDone;
          },
        };
      },
    },
  };
  return device;
}

describe('the GPU runner around its device', () => {
  let device: IdleDevice;
  let runner: LogitsRunner;
  let cacheFolder = '';
  beforeEach(async () => {
    cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-idle-'));
    device = idleDevice();
    runner = await createSyntheticHipRunner({
      config: SMALL_CONFIG,
      kvCacheBytes: 4 * kvBlockBytes(SMALL_CONFIG, 'int16'),
      driver: device.driver,
      compiler: device.gpu.compiler,
      cacheFolder,
      longestPassMs: 50,
    });
    device.launched.splice(0);
  });
  afterEach(async () => {
    device.hangs = false;
    await runner.dispose();
    rmSync(cacheFolder, { recursive: true, force: true });
    device.gpu.dispose();
    assert.equal(device.gpu.allocatedBytes, 0);
  });

  it('launches the layers in the order of the model, and the head only where something is wanted', async () => {
    const sequence = runner.createSequence();
    await runner.forward([{ sequence, tokens: Int32Array.of(1, 2, 3, 4, 5), logits: 'none' }]);
    const layer = [
      'project_qkv',
      'attend',
      'project_attention',
      'project_gate',
      'topk_gating_softmax',
      'expert_gate_up',
      'expert_down',
      'combine_experts',
    ];
    const names = device.launched.map((name) => /^(?:topk_gating_softmax|dispatch_plan)|.*/.exec(name)?.[0]);
    assert.deepEqual(names, ['embed', ...layer, ...layer]);
    device.launched.splice(0);
    await runner.forward([{ sequence, tokens: Int32Array.of(6), logits: 'last' }]);
    assert.deepEqual(device.launched.slice(-2), ['project_head', 'choose_largest']);
    assert.ok(!device.launched.includes('expert_gate_up'), 'few rows take their experts by slot');
  });

  it('changes logits where a row of the step has something that does, before it chooses', async () => {
    const [one, other] = [runner.createSequence(), runner.createSequence()];
    const adjustments = new Sampler({ ...GREEDY, logitBias: [[1, 2]] }, new Int32Array(0)).planAdjustments();
    const draw = new Sampler({ ...GREEDY, temperature: 1 }, new Int32Array(0)).planDraw();
    assert.ok(adjustments !== null && draw !== null);
    const tokens = Int32Array.of(1);
    const plain = { sequence: one, tokens, logits: 'largest' as const };
    const after = async (...batch: readonly LogitsStep[]): Promise<readonly string[]> => {
      device.launched.splice(0);
      await runner.forward(batch);
      return device.launched.slice(device.launched.lastIndexOf('project_head') + 1);
    };
    const step = { sequence: other, tokens, logits: 'largest' as const };
    const drawn = { ...step, logits: 'drawn' as const, draw };
    assert.deepEqual(await after(plain, step), ['choose_largest']);
    assert.deepEqual(await after(plain, { ...step, adjustments }), ['adjust_logits', 'mask_logits', 'choose_largest']);
    assert.deepEqual(await after(plain, drawn), ['choose_largest', 'draw_tokens']);
    assert.deepEqual(await after(plain, { ...drawn, mask: Uint32Array.of(7) }), [
      'adjust_logits',
      'mask_logits',
      'choose_largest',
      'draw_tokens',
    ]);
    assert.deepEqual(await after({ ...step, logits: 'last', adjustments }), ['choose_largest']);
  });

  for (const tokens of [FEWEST_TILE_TOKENS, MOST_SPLIT_TOKENS + 1]) {
    it(`launches ${tokens} tokens of a sequence by matrix tiles, and other sequences beside them as ever`, async () => {
      const [many, one] = [runner.createSequence(), runner.createSequence()];
      await runner.forward([
        { sequence: one, tokens: Int32Array.of(1), logits: 'none' },
        { sequence: many, tokens: new Int32Array(tokens).fill(2), logits: 'none' },
      ]);
      const layer = [
        'norm_rows',
        'project_qkv_tiles',
        'attend_tiles',
        'project_attention_tiles',
        'norm_rows',
        'project_gate_tiles',
        'topk_gating_softmax',
        'list_experts',
        'expert_gate_up_tiles',
        'expert_down_tiles',
        'combine_experts',
      ];
      const names = device.launched.map((name) => /^(?:topk_gating_softmax|dispatch_plan)|.*/.exec(name)?.[0]);
      const byTiles = ['embed', ...layer, ...layer];
      const end = names.lastIndexOf('expert_down_tiles') + 2;
      assert.deepEqual(
        names.slice(0, end).filter((name) => name !== 'dispatch_plan'),
        byTiles,
      );
      const others = names.slice(end);
      assert.ok(others.includes('project_qkv'));
      assert.ok(!others.some((name) => name?.endsWith('_tiles')));
    });
  }

  it('takes as many pieces of a prompt together as a pass has rows for, where all of them are in one term', () => {
    const together = [1, FEWEST_TILE_TOKENS, MOST_SPLIT_TOKENS, MOST_SPLIT_TOKENS + 1, 1024, MOST_ROWS, 65_536];
    assert.deepEqual(
      together.map((tokens) => runner.piecesTogether?.(tokens)),
      [1, 1, 1, 3, 2, 1, 1],
    );
  });

  it('says how much of a prompt answers wait for, by how it is computed', () => {
    const tokens = [1, FEWEST_TILE_TOKENS - 1, FEWEST_TILE_TOKENS, MOST_SPLIT_TOKENS, MOST_SPLIT_TOKENS + 1, 1024];
    assert.deepEqual(
      tokens.map((count) => runner.partOfPiece?.(count)),
      [64, 64, 208, 208, 384, 384],
    );
  });

  it('expects a step to take what the last one took: less where that was slept through, never much more', async () => {
    const sequence = runner.createSequence();
    const expectedOf = async (wasDone: boolean): Promise<number> => {
      device.wasDone = wasDone;
      const step = await runner.start?.([{ sequence, tokens: Int32Array.of(1), logits: 'largest' }]);
      await step?.outputs;
      return device.expected.at(-1) ?? Number.NaN;
    };
    assert.equal(await expectedOf(false), 0, 'nothing is known of the first one');
    const first = await expectedOf(true);
    assert.ok(first > 0);
    const second = await expectedOf(true);
    assert.ok(second < first && second > 0.9 * first);
    const third = await expectedOf(false);
    assert.ok(third < second && third > 0.9 * second);
    assert.ok((await expectedOf(false)) <= 1.1 * third);
  });

  it('gives back what was asked for', async () => {
    const wants = ['none', 'last', 'all', 'largest'] as const;
    const outputs = await runner.forward(
      wants.map((logits) => ({ sequence: runner.createSequence(), tokens: Int32Array.of(1, 2), logits })),
    );
    const width = SMALL_CONFIG.vocabularySize;
    assert.deepEqual(
      outputs.map(({ logits }) => logits.length),
      [0, width, 2 * width, 0],
    );
    assert.deepEqual(
      outputs.map(({ token }) => typeof token),
      ['undefined', 'undefined', 'undefined', 'number'],
    );
  });

  it('takes a device that does not finish for lost, and says so at once from then on', async () => {
    const sequence = runner.createSequence();
    const step = { sequence, tokens: Int32Array.of(1) };
    device.hangs = true;
    await assert.rejects(runner.forward([step]), DeviceHungError);
    assert.equal(runner.length(sequence), 0);
    device.launched.splice(0);
    await assert.rejects(runner.forward([step]), DeviceHungError);
    assert.deepEqual(device.launched, []);
  });

  it('takes a step that begins with a token of the step under way, and none that nobody chooses', async () => {
    const start = (parts: readonly StartedPart[]): Promise<StartedStep> => {
      assert.ok(runner.start !== undefined);
      return runner.start(parts);
    };
    const [sequence, other] = [runner.createSequence(), runner.createSequence()];
    const first = await start([{ sequence, tokens: Int32Array.of(1), logits: 'largest' }]);
    const second = await start([{ sequence, tokens: { chosenFor: sequence }, logits: 'largest' }]);
    assert.equal(runner.length(sequence), 2);
    for (const { outputs } of [first, second]) assert.equal(typeof (await outputs)[0]?.token, 'number');
    const unknown = [{ sequence: other, tokens: { chosenFor: other }, logits: 'largest' as const }];
    await assert.rejects(start(unknown), InvalidStepError);
    assert.deepEqual([runner.length(sequence), runner.length(other)], [2, 0]);
  });

  it('cuts back what a lost device was to compute, with two steps under way', async () => {
    const sequence = runner.createSequence();
    await runner.forward([{ sequence, tokens: Int32Array.of(1, 2), logits: 'none' }]);
    device.hangs = true;
    const waits = device.expected.length;
    const steps = [1, 2].map(() => runner.forward([{ sequence, tokens: Int32Array.of(3), logits: 'largest' }]));
    for (const { status } of await Promise.allSettled(steps)) assert.equal(status, 'rejected');
    assert.equal(device.expected.length, waits + 1, 'the second is not waited for as long again');
    assert.equal(runner.length(sequence), 2);
  });

  it('refuses a step that the KV cache has no room for, and goes on with one that it has', async () => {
    const sequence = runner.createSequence();
    // Both kinds of layers hold a block for each 16 tokens.
    const tokens = new Int32Array((16 * (RESERVED_BLOCKS + 4)) / 2 + 1).fill(3);
    await assert.rejects(runner.forward([{ sequence, tokens, logits: 'none' }]), KvCacheFullError);
    assert.equal(runner.length(sequence), 0);
    await runner.forward([{ sequence, tokens: tokens.subarray(1), logits: 'none' }]);
    assert.equal(runner.length(sequence), tokens.length - 1);
  });

  it('refuses what cannot be while a step runs, and everything after its end', async () => {
    const sequence = runner.createSequence();
    const step = { sequence, tokens: Int32Array.of(1) };
    const running = [runner.forward([step]), runner.forward([step])];
    await assert.rejects(runner.forward([step]), RunnerBusyError);
    assert.throws(() => runner.forkSequence(sequence, 0), RunnerBusyError);
    assert.throws(() => runner.truncate(sequence, 0), RunnerBusyError);
    assert.throws(() => runner.releaseSequence(sequence), RunnerBusyError);
    runner.releaseSequence(runner.createSequence());
    await assert.rejects(runner.dispose(), RunnerBusyError);
    await Promise.all(running);
    assert.equal(runner.length(sequence), 2);
    await assert.rejects(runner.forward([{ sequence, tokens: Int32Array.of(-1) }]), InvalidStepError);
    await assert.rejects(runner.forward([{ sequence: 99, tokens: Int32Array.of(1) }]), UnknownSequenceError);
    await runner.dispose();
    await runner.dispose();
    assert.throws(() => runner.createSequence(), DisposedError);
  });
});
