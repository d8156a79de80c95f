import assert from 'node:assert/strict';
import type { LayerRouting } from '../runner.ts';
import type { GoldenPrompt, RunnerCase, RunnerTolerances, SuiteRun } from './suite-run.ts';

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

/**
 * The answers by whole prompts: the likelihood of each, and the greedy continuations of all, side by side in every step.
 */
export function sideBySideCase(golden: readonly GoldenPrompt[]): RunnerCase {
  return {
    section: 'golden',
    name: 'all prompts whole: likelihood, greedy continuations side by side',
    run: async (suite) => {
      const first = await suite.step(
        golden.map(({ ids }) => ({
          sequence: suite.sequence(),
          tokens: Int32Array.from(ids.slice(0, -1)),
          want: 'none' as const,
          targets: Int32Array.from(ids.slice(1)),
        })),
      );
      golden.forEach((prompt, index) => {
        checkLikelihood(first[index]?.targetLogprobs, prompt, suite.tolerances.nll);
      });
      const lines = golden.map(({ ids, greedy }) => ({
        sequence: suite.sequence(),
        sampler: suite.sampler(),
        ids: Int32Array.from(ids),
        greedy,
        answer: [] as number[],
      }));
      for (;;) {
        const open = lines.filter(({ answer, greedy }) => answer.length < greedy.length);
        if (open.length === 0) break;
        const outputs = await suite.step(
          open.map(({ sequence, sampler, ids, answer }) => ({
            sequence,
            sampler,
            tokens: answer.length === 0 ? ids : 'sampled',
            want: 'token',
          })),
        );
        open.forEach(({ answer }, index) => answer.push(outputs[index]?.token ?? -1));
      }
      lines.forEach(({ answer, greedy }, index) => {
        assert.deepEqual(answer, greedy, `the greedy continuation of prompt ${index}`);
      });
    },
  };
}

/** The answers by prompts in pieces of at most so many tokens. */
export function pieceCases(golden: readonly GoldenPrompt[], pieceTokens: number): readonly RunnerCase[] {
  return golden.map((prompt, index) => ({
    section: 'golden',
    name: `prompt ${index} in pieces: experts, best logits, likelihood`,
    run: async (suite) => {
      const { ids } = prompt;
      const sequence = suite.sequence();
      const logprobs: number[] = [];
      const chosen: LayerRouting[] = [];
      for (let start = 0; start < ids.length - 1; start += pieceTokens) {
        const end = Math.min(ids.length - 1, start + pieceTokens);
        const { targetLogprobs = [], routing = [] } = await suite.alone({
          sequence,
          tokens: Int32Array.from(ids.slice(start, end)),
          want: 'none',
          targets: Int32Array.from(ids.slice(start + 1, end + 1)),
          traceRouting: true,
        });
        logprobs.push(...targetLogprobs);
        for (const { layer, ids: experts, weights } of routing) {
          const before = chosen[layer];
          chosen[layer] = {
            layer,
            ids: Int32Array.from([...(before?.ids ?? []), ...experts]),
            weights: Float32Array.from([...(before?.weights ?? []), ...weights]),
          };
        }
      }
      checkLikelihood(Float64Array.from(logprobs), prompt, suite.tolerances.nll);
      const isChanged = checkRouting(chosen, prompt, suite.tolerances);
      const last = await suite.alone({ sequence, tokens: Int32Array.of(ids.at(-1) ?? 0), want: 'last' });
      if (!isChanged) checkBestLogits(last.logits, prompt, suite.tolerances.logit);
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
  const isChanged = checkRouting(scored.routing ?? [], prompt, tolerances);

  const last = await suite.alone({ sequence, tokens: ids.subarray(-1), want: 'last' });
  if (!isChanged) checkBestLogits(last.logits, prompt, tolerances.logit);
  await checkContinuation(suite, prompt);
}

function checkBestLogits(logits: Float32Array, { topIds, topLogits }: GoldenPrompt, tolerance: number): void {
  topIds.forEach((id, rank) => {
    const expected = topLogits[rank] as number;
    const difference = Math.abs((logits[id] as number) - expected);
    assert.ok(difference <= tolerance, `the logit of token ${id} differs by ${difference}`);
  });
}

/**
 * The experts and weights of every layer and token. Returns whether an expert was replaced by one as near: the last token's
 * logits may be others then.
 */
function checkRouting(
  routing: readonly LayerRouting[],
  { routing: expected }: GoldenPrompt,
  { routerWeight: tolerance, nearTies = false }: RunnerTolerances,
): boolean {
  assert.equal(routing.length, expected.length, 'a traced step tells of every layer');
  /** The first token for which a layer so far has another expert. */
  let changed = Number.POSITIVE_INFINITY;
  expected.forEach(({ experts, weights }, layer) => {
    const found = routing[layer];
    assert.equal(found?.layer, layer, 'layers are told in order');
    const topK = experts[0]?.length ?? 0;
    const tokens = Math.min((found?.ids.length ?? 0) / topK, changed);
    for (let token = 0; token < tokens; token++) {
      for (let k = 0; k < topK; k++) {
        const where = `layer ${layer}, token ${token}, choice ${k}`;
        const weight = weights[token]?.[k] as number;
        const slot = token * topK + k;
        const difference = Math.abs((found?.weights[slot] as number) - weight);
        assert.ok(difference <= tolerance, `the router weight differs by ${difference}, ${where}`);
        const id = found?.ids[slot] as number;
        if (id === experts[token]?.[k]) continue;
        const rival = weights[token]?.[experts[token]?.indexOf(id) ?? -1];
        if (rival === undefined && nearTies) {
          changed = Math.min(changed, token);
          continue;
        }
        assert.ok(
          Math.abs(weight - (rival ?? Number.POSITIVE_INFINITY)) <= tolerance,
          `expert ${id} where ${experts[token]?.[k]} is right, ${where}`,
        );
      }
    }
  });
  return changed < Number.POSITIVE_INFINITY;
}
