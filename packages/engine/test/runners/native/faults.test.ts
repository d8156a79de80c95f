import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openSnapshot } from '@switchyard/models';
import type { GptOssConfig } from '@switchyard/models';
import { Engine } from '../../../src/engine.ts';
import { checkShape } from '../../../src/runners/native/check-checkpoint.ts';
import { UnsupportedCheckpointError } from '../../../src/runners/native/errors.ts';
import { createNativeRunner } from '../../../src/runners/native/index.ts';
import { kvLayerNumbers } from '../../../src/runners/native/kv-layers.ts';
import { networkFileSystem, networkFileSystemOf } from '../../../src/runners/native/network-mount.ts';
import { writeRewrittenCheckpoint } from '../../fixtures/rewritten-checkpoint.ts';
import { randomWeights, shapeConfig } from '../../fixtures/random-weights.ts';
import { USABLE_LIBRARIES } from './usable-libraries.ts';

const CONFIG = shapeConfig({
  hidden_size: 64,
  intermediate_size: 32,
  head_dim: 16,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  num_local_experts: 4,
  num_experts_per_tok: 2,
  sliding_window: 16,
  vocab_size: 64,
});
const snapshotOf = (config: GptOssConfig) => ({
  config,
  weights: randomWeights(config),
  tensorBytes: 0,
  tokenizer: { vocabularySize: config.vocabularySize },
});

describe('checkpoints that the native runner does not take', () => {
  it('are refused where the kernels divide sizes with a remainder', () => {
    for (const change of [
      { hiddenSize: 80 },
      { intermediateSize: 48 },
      { headDim: 24 },
      { attentionHeads: 1 },
      { expertsPerToken: 65, experts: 65 },
    ]) {
      assert.throws(() => checkShape({ ...CONFIG, ...change }), UnsupportedCheckpointError, JSON.stringify(change));
    }
    checkShape(CONFIG);
  });

  it('are refused where matrices are f16, and run by ONNX Runtime where the choice is automatic', async function () {
    this.timeout(60_000);
    if (USABLE_LIBRARIES.length === 0) this.skip();
    const folder = await mkdtemp(join(tmpdir(), 'switchyard-native-'));
    try {
      await writeRewrittenCheckpoint(folder, { dtypeOf: () => 'F16' });
      await assert.rejects(Engine.load(folder, { runner: 'native' }), (error) => {
        assert.ok(error instanceof Error);
        assert.match(error.message, /found .* in F16 · it needs .* BF16/);
        return true;
      });
      await using engine = await Engine.load(folder, { router: 'cpu' });
      assert.equal(engine.model.runner, 'onnxruntime-cpu');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('a step of the native runner', function () {
  this.timeout(60_000);
  before(function () {
    if (USABLE_LIBRARIES.length === 0) this.skip();
  });

  it('that the KV cache has no room for changes nothing', async () => {
    await using runner = await createNativeRunner({ snapshot: snapshotOf(CONFIG), kvCacheBytes: 0 });
    const [first, second, third] = [runner.createSequence(), runner.createSequence(), runner.createSequence()];
    const tokens = new Int32Array(4096);
    await runner.forward([{ sequence: first, tokens, logits: 'none' }]);
    await runner.forward([{ sequence: second, tokens: tokens.subarray(0, 4090), logits: 'none' }]);
    const batch = [second, third].map((sequence) => ({ sequence, logits: 'none' as const }));
    await assert.rejects(
      runner.forward(batch.map((step, index) => ({ ...step, tokens: index === 0 ? tokens.subarray(0, 1) : tokens }))),
      { code: 'KV_CACHE_FULL' },
    );
    assert.deepEqual([runner.length(second), runner.length(third)], [4090, 0]);
    runner.releaseSequence(first);
    await runner.forward([{ sequence: third, tokens: tokens.subarray(0, 16) }]);
    assert.equal(runner.length(third), 16);
  });

  it('leaves the event loop free while it computes', async () => {
    using snapshot = await openSnapshot();
    await using runner = await createNativeRunner({ snapshot, kvCacheBytes: 2 ** 24 });
    let turns = 0;
    let isOver = false;
    const turn = (): void => {
      turns++;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    await runner.forward([{ sequence: runner.createSequence(), tokens: new Int32Array(512), logits: 'none' }]);
    isOver = true;
    // Once a layer at least: each is a call on another thread.
    assert.ok(turns >= snapshot.config.layers, `${turns} turns`);
  });

  it('may have been the last of a worker that is ended without more ado', async () => {
    const program = fileURLToPath(new URL('./ended-workers-process.mjs', import.meta.url));
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program]);
    assert.deepEqual([stdout, stderr], ['mapped', '']);
  });

  it('is refused after the end, which may come twice', async () => {
    const runner = await createNativeRunner({ snapshot: snapshotOf(CONFIG), kvCacheBytes: 2 ** 20 });
    const sequence = runner.createSequence();
    await runner.dispose();
    await runner.dispose();
    await assert.rejects(runner.forward([{ sequence, tokens: Int32Array.of(1) }]), { code: 'DISPOSED' });
  });

  it('has weights that are held as long as the runner, and read by several at once', async () => {
    using snapshot = await openSnapshot();
    const answers: number[] = [];
    const runners = await Promise.all([1, 2].map(() => createNativeRunner({ snapshot, kvCacheBytes: 2 ** 22 })));
    try {
      const steps = runners.map(async (runner) => {
        const [output] = await runner.forward([
          { sequence: runner.createSequence(), tokens: Int32Array.of(4082, 77, 400), logits: 'largest' },
        ]);
        answers.push(output?.token ?? -1);
      });
      await Promise.all(steps);
    } finally {
      for (const runner of runners) await runner.dispose();
    }
    assert.equal(answers[0], answers[1]);
    assert.ok((answers[0] ?? -1) >= 0);
  });
});

describe('where files and KV layers of the native runner are', () => {
  it('knows file systems that reach over a network, however the system signs their type', () => {
    assert.equal(
      networkFileSystem('a', () => 0x6969),
      'NFS',
    );
    assert.equal(
      networkFileSystem('a', () => 0xff534d42 | 0),
      'CIFS',
    );
    assert.equal(
      networkFileSystem('a', () => 0xef53),
      null,
    );
    const failing = (): number => {
      throw new Error('no such call');
    };
    assert.equal(networkFileSystem('a', failing), null);
    assert.equal(networkFileSystem(tmpdir()), null);
  });

  it('looks at every weight file of a folder, which may be a link to another place', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'switchyard-native-'));
    try {
      for (const name of ['config.json', 'model-1.safetensors', 'model-2.safetensors']) {
        await writeFile(join(folder, name), '');
      }
      const onNetwork = (name: string) => (path: string) => (path === join(folder, name) ? 0x6969 : 0xef53);
      assert.equal(networkFileSystemOf(folder, onNetwork('model-2.safetensors')), 'NFS');
      assert.equal(networkFileSystemOf(folder, onNetwork('config.json')), null);
      assert.equal(
        networkFileSystemOf(folder, () => 0x47504653),
        'GPFS',
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('numbers the layers of each kind', () => {
    assert.deepEqual(
      kvLayerNumbers({ layerTypes: ['sliding', 'full', 'full', 'sliding', 'sliding'] }),
      [0, 0, 1, 1, 2],
    );
  });
});
