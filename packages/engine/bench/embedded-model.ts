/** The embedded checkpoint on the ONNX Runtime runner: load, prefill, decode, batches. Each figure only after a check. */

import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import type { LogitsRunner } from '../src/runners/logits-runner.ts';
import { createOrtRunner } from '../src/runners/ort/index.ts';
import { measureLoad } from '../test/engine/load-memory.ts';
import { argmax, reference } from '../test/golden/reference.ts';
import { rounded, summary } from './summary.ts';

const ROUNDS = 9;
const DECODE_TOKENS = 128;
const PREFILL_TOKENS = 256;
/** A prefill is short: more rounds, the first of which find its code not yet compiled by the JavaScript engine. */
const PREFILL_ROUNDS = 40;
const PREFILL_WARM_UP = 8;
const BATCH_STEPS = 16;
/** Logits of a prompt computed in another way than the reference was differ by less. */
const LOGIT_TOLERANCE = 5e-3;

/** All figures of the embedded model. */
export async function measureEmbeddedModel(): Promise<Record<string, unknown>> {
  const load = await measureLoad();
  const snapshot = await openSnapshot(embeddedCheckpointPath());
  const runner = await createOrtRunner({ snapshot, router: 'cpu' });
  const decode = await measureDecode(runner);
  const prefill = await measurePrefill(runner);
  const batches: Record<string, unknown> = {};
  for (const size of [8, 32]) {
    batches[`decodeTokensPerSecondBatch${size}`] = await measureBatch(runner, size);
  }
  const figures = {
    loadMilliseconds: rounded(load.milliseconds),
    loadResidentMegabytes: rounded(load.megabytes),
    weightMegabytes: rounded(runner.memory.weightBytes / 1e6),
    ...decode,
    prefill256TokensPerSecond: prefill,
    ...batches,
  };
  await runner.dispose();
  snapshot.dispose();
  return figures;
}

/** One sequence: the reference's first prompt, then its greedy answer and on. */
async function measureDecode(runner: LogitsRunner): Promise<Record<string, unknown>> {
  const { ids, greedy } = firstPrompt();
  const rates: number[] = [];
  const parts = { onnxRuntime: [] as number[], experts: [] as number[], router: [] as number[], rest: [] as number[] };
  const shares: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const sequence = runner.createSequence();
    const [first] = await runner.forward([{ sequence, tokens: Int32Array.from(ids) }]);
    const answer = [argmax(first?.logits ?? new Float32Array(1))];
    const before: LogitsRunner['timings'] = { ...read(runner) };
    const start = performance.now();
    for (let step = 0; step < DECODE_TOKENS; step++) {
      const [output] = await runner.forward([{ sequence, tokens: Int32Array.of(answer.at(-1) ?? 0) }]);
      answer.push(argmax(output?.logits ?? new Float32Array(1)));
    }
    const elapsed = performance.now() - start;
    const after = read(runner);
    runner.releaseSequence(sequence);
    if (answer.slice(0, greedy.length).join() !== greedy.join()) {
      throw new Error('The answer is not the reference answer: no figure counts');
    }
    if (round === 0) {
      continue;
    }
    const [compute, experts, router] = [
      after.compute - before.compute,
      after.experts - before.experts,
      after.router - before.router,
    ];
    rates.push((DECODE_TOKENS / elapsed) * 1000);
    parts.onnxRuntime.push(compute / DECODE_TOKENS);
    parts.experts.push(experts / DECODE_TOKENS);
    parts.router.push(router / DECODE_TOKENS);
    parts.rest.push((elapsed - compute - experts - router) / DECODE_TOKENS);
    shares.push((elapsed - compute - experts) / elapsed);
  }
  return {
    decodeTokensPerSecond: summary(rates, 'highest'),
    decodeMillisecondsPerToken: {
      onnxRuntime: summary(parts.onnxRuntime, 'lowest'),
      expertKernel: summary(parts.experts, 'lowest'),
      router: summary(parts.router, 'lowest'),
      planCombineSamplingAndRest: summary(parts.rest, 'lowest'),
    },
    decodeShareOfRouterAndRest: summary(shares, 'lowest'),
  };
}

/** One prompt of 256 tokens in one step. */
async function measurePrefill(runner: LogitsRunner): Promise<unknown> {
  const tokens = Int32Array.from({ length: PREFILL_TOKENS }, (_, index) => reference[index % 7]?.ids[index >> 3] ?? 1);
  const stepwise = await lastLogits(runner, tokens, 1);
  const rates: number[] = [];
  for (let round = 0; round < PREFILL_WARM_UP + PREFILL_ROUNDS; round++) {
    const start = performance.now();
    const logits = await lastLogits(runner, tokens, tokens.length);
    const elapsed = performance.now() - start;
    if (logits.some((value, index) => !(Math.abs(value - (stepwise[index] ?? 0)) < LOGIT_TOLERANCE))) {
      throw new Error('A prefill and single steps give different logits: no figure counts');
    }
    if (round >= PREFILL_WARM_UP) {
      rates.push((tokens.length / elapsed) * 1000);
    }
  }
  return summary(rates, 'highest');
}

async function lastLogits(runner: LogitsRunner, tokens: Int32Array, piece: number): Promise<Float32Array> {
  const sequence = runner.createSequence();
  let logits: Float32Array = new Float32Array(0);
  for (let start = 0; start < tokens.length; start += piece) {
    const [output] = await runner.forward([{ sequence, tokens: tokens.subarray(start, start + piece) }]);
    logits = output?.logits ?? logits;
  }
  runner.releaseSequence(sequence);
  return logits;
}

/** Many sequences, one token each a step; the tokens are those of the reference's greedy answers. */
async function measureBatch(runner: LogitsRunner, size: number): Promise<unknown> {
  const prompts = Array.from({ length: size }, (_, index) => reference[index % reference.length] ?? firstPrompt());
  const sequences: number[] = [];
  const rates: number[] = [];
  for (const { ids } of prompts) {
    const sequence = runner.createSequence();
    await runner.forward([{ sequence, tokens: Int32Array.from(ids), logits: 'none' }]);
    sequences.push(sequence);
  }
  for (let round = 0; round <= ROUNDS; round++) {
    let elapsed = 0;
    for (let step = round * BATCH_STEPS; step < (round + 1) * BATCH_STEPS; step++) {
      const batch = sequences.map((sequence, index) => {
        const greedy = prompts[index]?.greedy ?? [];
        return { sequence, tokens: Int32Array.of(greedy[step % greedy.length] ?? 0) };
      });
      const start = performance.now();
      const outputs = await runner.forward(batch);
      elapsed += performance.now() - start;
      outputs.forEach(({ logits }, index) => {
        const expected = prompts[index]?.greedy[step + 1];
        if (expected !== undefined && argmax(logits) !== expected) {
          throw new Error('An answer in a batch is not the reference answer: no figure counts');
        }
      });
    }
    if (round > 0) {
      rates.push(((BATCH_STEPS * size) / elapsed) * 1000);
    }
  }
  sequences.forEach((sequence) => runner.releaseSequence(sequence));
  return summary(rates, 'highest');
}

function read({ timings }: LogitsRunner): LogitsRunner['timings'] {
  return timings;
}

function firstPrompt(): (typeof reference)[number] {
  const [prompt] = reference;
  if (prompt === undefined) {
    throw new Error('The reference has no prompts');
  }
  return prompt;
}
