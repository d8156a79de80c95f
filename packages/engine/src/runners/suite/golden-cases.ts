import assert from 'node:assert/strict';
import type { LayerRouting } from '../runner.ts';
import type { GoldenPrompt, RunnerCase, SuiteRun } from './suite-run.ts';

/** The answers of an independent implementation. */
export function goldenCases(golden: readonly GoldenPrompt[]): readonly RunnerCase[] {
  return golden.map((prompt, index) => ({
    section: 'golden',
    name: `prompt ${index}: experts, best logits, likelihood, greedy continuation`,
    run: (suite) => checkPrompt(suite, prompt),
  }));
}

/**
 * Of those, what a runner keeps that rounds activations: the likelihood and the greedy continuation. Experts and logits of
 * single tokens are what rounding changes.
 */
export function goldenAnswerCases(golden: readonly GoldenPrompt[]): readonly RunnerCase[] {
  return golden.map((prompt, index) => ({
    section: 'golden answers',
    name: `prompt ${index}: likelihood, greedy continuation`,
    run: async (suite) => {
      const ids = Int32Array.from(prompt.ids);
      const targets = ids.subarray(1);
      const scored = await suite.alone({
        sequence: suite.sequence(),
        tokens: ids.subarray(0, -1),
        want: 'none',
        targets,
      });
      checkLikelihood(scored.targetLogprobs, prompt, suite.tolerances.nll);
      await checkContinuation(suite, prompt);
    },
  }));
}

function checkLikelihood(logprobs: Float64Array | undefined, { nll: expected }: GoldenPrompt, tolerance: number): void {
  const nll = (logprobs ?? new Float64Array(0)).reduce((sum, logprob) => sum - logprob, 0);
  assert.ok(Math.abs(nll / expected - 1) <= tolerance, `the likelihood is ${nll}, expected ${expected}`);
}

async function checkContinuation(suite: SuiteRun, { ids, greedy }: GoldenPrompt): Promise<void> {
  const sampler = suite.sampler();
  const sequence = suite.sequence();
  const answer: number[] = [];
  let tokens: Int32Array | 'sampled' = Int32Array.from(ids);
  while (answer.length < greedy.length) {
    const { token } = await suite.alone({ sequence, tokens, want: 'token', sampler });
    answer.push(token);
    tokens = 'sampled';
  }
  assert.deepEqual(answer, greedy, 'the greedy continuation');
  assert.equal(suite.runner.length(sequence), ids.length + answer.length - 1);
}

async function checkPrompt(suite: SuiteRun, prompt: GoldenPrompt): Promise<void> {
  const { tolerances } = suite;
  const sequence = suite.sequence();
  const ids = Int32Array.from(prompt.ids);
  const head = ids.subarray(0, -1);
  const scored = await suite.alone({
    sequence,
    tokens: head,
    want: 'none',
    targets: ids.subarray(1),
    traceRouting: true,
  });
  checkLikelihood(scored.targetLogprobs, prompt, tolerances.nll);
  checkRouting(scored.routing ?? [], prompt, tolerances.routerWeight);

  const last = await suite.alone({ sequence, tokens: ids.subarray(-1), want: 'last' });
  prompt.topIds.forEach((id, rank) => {
    const expected = prompt.topLogits[rank] as number;
    const difference = Math.abs((last.logits[id] as number) - expected);
    assert.ok(difference <= tolerances.logit, `the logit of token ${id} differs by ${difference}`);
  });
  await checkContinuation(suite, prompt);
}

function checkRouting(routing: readonly LayerRouting[], { routing: expected }: GoldenPrompt, tolerance: number): void {
  assert.equal(routing.length, expected.length, 'a traced step tells of every layer');
  expected.forEach(({ experts, weights }, layer) => {
    const found = routing[layer];
    assert.equal(found?.layer, layer, 'layers are told in order');
    const topK = experts[0]?.length ?? 0;
    const tokens = (found?.ids.length ?? 0) / topK;
    for (let token = 0; token < tokens; token++) {
      for (let k = 0; k < topK; k++) {
        const where = `layer ${layer}, token ${token}, choice ${k}`;
        const weight = weights[token]?.[k] as number;
        const slot = token * topK + k;
        const difference = Math.abs((found?.weights[slot] as number) - weight);
        assert.ok(difference <= tolerance, `the router weight differs by ${difference}, ${where}`);
        const id = found?.ids[slot] as number;
        if (id === experts[token]?.[k]) continue;
        const rival = weights[token]?.[experts[token]?.indexOf(id) ?? -1] ?? Number.POSITIVE_INFINITY;
        assert.ok(
          Math.abs(weight - rival) <= tolerance,
          `expert ${id} where ${experts[token]?.[k]} is right, ${where}`,
        );
      }
    }
  });
}
