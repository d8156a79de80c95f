import assert from 'node:assert/strict';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import { softmaxTopKProblems } from '../../src/benchmark/webgpu/onnx-rival.ts';
import { runWebGpuBenchmark } from '../../src/benchmark/webgpu/run-webgpu-benchmark.ts';
import { referenceRoute } from '../../src/reference.ts';
import { formProblems } from '../../../gpu/test/benchmark/report-form.ts';

describe('the WebGPU benchmark', function () {
  this.timeout(120_000);

  it('gives a report in the documented form, of answers that were checked', async function () {
    try {
      await using _router = await createWebGpuRouter({ experts: 1, topK: 1 }, { software: true });
    } catch (error) {
      console.log(`      skipped: SwiftShader does not start: ${String(error)}`);
      this.skip();
    }
    const series = [{ experts: 16, topK: 2, dtype: 'bf16', calls: true }] as const;
    const report = await runWebGpuBenchmark({ series, tokens: [5], software: true, quick: true });
    assert.deepEqual(formProblems(JSON.parse(JSON.stringify(report))), []);
    assert.deepEqual(report.failures, []);
    const call = report.series.find(({ name, contender }) => name === 'call' && contender === 'webgpu');
    assert.deepEqual(call?.parameters, {
      experts: 16,
      topK: 2,
      dtype: 'f32',
      path: call?.parameters['path'] ?? '',
      tokens: 5,
    });
    const isTimed = report.series.some(({ name, contender }) => name === 'dispatch' && contender === 'webgpu');
    assert.ok(isTimed || report.notes.some((note) => note.includes('timestamp-query')), report.notes.join());
  });
});

describe('the check of a framework that ranks by softmax and top-k', () => {
  const [experts, topK] = [8, 3];
  const logits = Float32Array.from({ length: 4 * experts }, (_, index) => Math.sin(index * 7.3) * 4);
  const answerOf = (rows: Float32Array): { weights: Float32Array; ids: BigInt64Array } => {
    const { weights, ids } = referenceRoute({ experts, topK, renormalize: false }, rows);
    return { weights, ids: BigInt64Array.from(Array.from(ids, BigInt)) };
  };

  it('accepts the right answer, and equal experts in either order', () => {
    assert.deepEqual(softmaxTopKProblems(logits, experts, topK, answerOf(logits)), []);
    const ties = new Float32Array(experts).fill(1);
    const answer = answerOf(ties);
    assert.deepEqual(softmaxTopKProblems(ties, experts, topK, { ...answer, ids: answer.ids.toReversed() }), []);
  });

  it('refuses a weight that is off, another expert, an expert named twice, and one that does not exist', () => {
    const right = answerOf(logits);
    const [first = 0n] = right.ids;
    const wrong = [
      { ...right, weights: right.weights.map((weight, slot) => (slot === 5 ? weight * 1.0001 : weight)) },
      { ...right, ids: right.ids.map((id, slot) => (slot === 0 ? (right.ids[1] ?? 0n) : slot === 1 ? first : id)) },
      { ...right, ids: right.ids.map((id, slot) => (slot === 1 ? first : id)) },
      { ...right, ids: right.ids.map((id, slot) => (slot === 4 ? BigInt(experts) : id)) },
    ];
    for (const answer of wrong) assert.equal(softmaxTopKProblems(logits, experts, topK, answer).length, 1);
  });
});
