import assert from 'node:assert/strict';
import { publishedConfig } from '@switchyard/models/testing';
import { runBench } from '../../src/bench/run-bench.ts';
import { leastStepBytes } from '../../src/bench/step-bytes.ts';

describe('switchyard bench', function () {
  this.timeout(120_000);

  it('measures decoding and prefill of the embedded model on the CPU, after checking its tokens', async () => {
    const report = await runBench({
      runner: 'onnxruntime',
      device: undefined,
      model: undefined,
      shape: undefined,
      batches: [1, 2],
      context: 20,
      depths: [70],
      steps: 3,
      prompts: [24],
      temperature: 0.8,
      commit: 'of the test',
    });
    assert.equal(report.benchmark, 'switchyard bench');
    assert.equal(report.machine.gpu, null);
    assert.equal(report.settings['model'], 'pocket-dictionary');
    assert.deepEqual(
      report.series.map(({ name, unit, parameters, count }) => [name, unit, parameters, count]),
      [
        ['decode', 'tokens/s', { sequences: 1, context: 20 }, 3],
        ['decode', 'tokens/s', { sequences: 2, context: 20 }, 3],
        ['decode at a depth', 'tokens/s', { sequences: 1, context: 70, chunk: 256 }, 3],
        ['prefill', 'tokens/s', { tokens: 24, chunk: 256 }, 3],
      ],
    );
    for (const { median, checked } of report.series) {
      assert.ok(median > 0);
      assert.match(checked, /alone/);
    }
    // Without a GPU nothing is known of its bandwidth.
    assert.ok(report.series.every(({ facts }) => facts?.['shareOfBandwidth'] === undefined));
  });

  it('counts what a step reads: each weight once, experts by how many are chosen, keys and values within windows', () => {
    const config = publishedConfig('gpt-oss-20b');
    const bytes = (sequences: number, context: number): number =>
      leastStepBytes(config, { sequences, context, kvElementBytes: 2 });
    const { hiddenSize, intermediateSize, experts, vocabularySize } = config;
    const matrices = 24 * 2 * hiddenSize * (5120 + 4096 + experts) + 2 * vocabularySize * hiddenSize;
    const expert = (3 * hiddenSize * intermediateSize * 17) / 32;
    // 12 layers see everything, 12 the last 128 tokens; 8 heads of 64 elements, keys and values.
    const seen = (12 * 1000 + 12 * 128) * 2 * 8 * 64 * 2;
    assert.equal(bytes(1, 1000), matrices + 24 * 4 * expert + seen);
    assert.ok(Math.abs(bytes(1000, 1) - (matrices + 24 * experts * expert + 1000 * 24 * 2048)) < 1);
    assert.ok(bytes(4, 1000) > bytes(1, 1000) && bytes(4, 1000) < 4 * bytes(1, 1000));
  });
});
