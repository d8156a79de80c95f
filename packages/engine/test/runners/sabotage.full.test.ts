import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { ExpertTensor, GptOssLayerWeights, Snapshot, Tensor } from '@switchyard/models';
import type { LogitsRunner, LogitsStep } from '../../src/runners/logits-runner.ts';
import type { ModelRunner } from '../../src/runners/runner.ts';
import { runnerCases, runRunnerSuite } from '../../src/runners/suite/index.ts';
import { F32_SUITE, ortRunner } from './suite-of-embedded-model.ts';

/** A tensor with other bytes. */
function changed(tensor: Tensor, change: (bytes: Uint8Array) => void): Tensor {
  const bytes = tensor.bytes.slice();
  change(bytes);
  const { name, dtype, shape } = tensor;
  return { name, dtype, shape, bytes };
}

function withLayer(
  snapshot: Snapshot,
  index: number,
  change: (layer: GptOssLayerWeights) => Partial<GptOssLayerWeights>,
): Snapshot {
  const layers = snapshot.weights.layers.map((layer, at) => (at === index ? { ...layer, ...change(layer) } : layer));
  return { ...snapshot, weights: { ...snapshot.weights, layers } };
}

/** bf16 -Infinity everywhere: a sink that takes no share. */
const noSink = (bytes: Uint8Array): void => {
  for (let index = 0; index < bytes.length; index += 2) [bytes[index], bytes[index + 1]] = [0x80, 0xff];
};

const oneScaleUp = (weight: ExpertTensor): ExpertTensor => {
  assert.equal(weight.kind, 'mxfp4');
  return weight.kind === 'mxfp4'
    ? {
        ...weight,
        scales: changed(weight.scales, (bytes) => bytes.forEach((scale, index) => (bytes[index] = scale + 1))),
      }
    : weight;
};

/** A runner that does everything as another does, but for what is given. */
function like(runner: LogitsRunner, changes: (runner: LogitsRunner) => Partial<LogitsRunner>): LogitsRunner {
  return {
    name: runner.name,
    vocabularySize: runner.vocabularySize,
    contextLength: runner.contextLength,
    memory: runner.memory,
    router: runner.router,
    get timings() {
      return runner.timings;
    },
    get onRouting() {
      return runner.onRouting;
    },
    set onRouting(listener) {
      runner.onRouting = listener;
    },
    createSequence: () => runner.createSequence(),
    forkSequence: (sequence, length) => runner.forkSequence(sequence, length),
    truncate: (sequence, length) => runner.truncate(sequence, length),
    releaseSequence: (sequence) => runner.releaseSequence(sequence),
    length: (sequence) => runner.length(sequence),
    forward: (batch) => runner.forward(batch),
    dispose: () => runner.dispose(),
    [Symbol.asyncDispose]: () => runner.dispose(),
    ...changes(runner),
  };
}

/** Gives the first two sequences of a step with several each other's logits. */
const swapped = (runner: LogitsRunner): Partial<LogitsRunner> => ({
  forward: async (batch) => {
    const outputs = [...(await runner.forward(batch))];
    const [first, second] = outputs;
    if (first === undefined || second === undefined || first.logits.length !== second.logits.length) return outputs;
    return [second, first, ...outputs.slice(2)];
  },
});

/** Cuts back to one token before, and fills the place with what stood there: the row is another token's. */
const staleRow = (runner: LogitsRunner): Partial<LogitsRunner> => {
  const stale = new Map<number, number>();
  return {
    truncate: (sequence, length) => {
      if (length < 1 || !runner.truncate(sequence, length - 1)) return runner.truncate(sequence, length);
      stale.set(sequence, length);
      return true;
    },
    length: (sequence) => stale.get(sequence) ?? runner.length(sequence),
    forward: async (batch) => {
      for (const { sequence } of batch) {
        if (!stale.delete(sequence)) continue;
        await runner.forward([{ sequence, tokens: Int32Array.of(7), logits: 'none' }]);
      }
      return runner.forward(batch);
    },
  };
};

/** A logit's last bit depends on how many rows there are. */
const companyMatters = (runner: LogitsRunner): Partial<LogitsRunner> => ({
  forward: async (batch: readonly LogitsStep[]) => {
    const outputs = await runner.forward(batch);
    if (batch.length < 5) return outputs;
    for (const { logits } of outputs) {
      const bits = new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
      bits.forEach((word, index) => (bits[index] = word ^ 1));
    }
    return outputs;
  },
});

describe('the runner suite finds', function () {
  this.timeout(120_000);
  let snapshot: Snapshot;
  before(async () => {
    snapshot = await openSnapshot();
  });
  after(() => snapshot.dispose());

  const sabotages: readonly (readonly [string, () => Promise<ModelRunner>])[] = [
    ['a sink forgotten', () => ortRunner(withLayer(snapshot, 1, ({ sinks }) => ({ sinks: changed(sinks, noSink) })))],
    [
      'a window one too wide',
      () =>
        ortRunner({ ...snapshot, config: { ...snapshot.config, slidingWindow: snapshot.config.slidingWindow + 1 } }),
    ],
    [
      'a window one too narrow',
      () =>
        ortRunner({ ...snapshot, config: { ...snapshot.config, slidingWindow: snapshot.config.slidingWindow - 1 } }),
    ],
    [
      'a scale off by one',
      () => ortRunner(withLayer(snapshot, 2, ({ down }) => ({ down: { ...down, weight: oneScaleUp(down.weight) } }))),
    ],
    [
      'a bias dropped',
      () =>
        ortRunner(
          withLayer(snapshot, 3, ({ query }) => ({
            query: { ...query, bias: changed(query.bias, (bytes) => bytes.fill(0)) },
          })),
        ),
    ],
    ['two sequences swapped', () => ortRunner(snapshot, (runner) => like(runner, swapped))],
    ['a row of keys and values left from before a cut', () => ortRunner(snapshot, (runner) => like(runner, staleRow))],
    ['a row that depends on its company', () => ortRunner(snapshot, (runner) => like(runner, companyMatters))],
  ];

  it('nothing in a runner that only stands between', async () => {
    const cases = runnerCases(F32_SUITE).filter(({ section }) => section !== 'golden');
    const untouched = (): Promise<ModelRunner> => ortRunner(snapshot, (runner) => like(runner, () => ({})));
    assert.deepEqual((await runRunnerSuite(untouched, { ...F32_SUITE, cases })).failures, []);
  });

  for (const [name, create] of sabotages) {
    it(name, async () => {
      const { failures } = await runRunnerSuite(create, { ...F32_SUITE, stopAtFirst: true });
      assert.equal(failures.length, 1);
      console.log(`      by ${failures[0]?.section}: ${failures[0]?.name}`);
    });
  }
});
