import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmulatedGpu, emulatedGpu } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { ForwardError } from '../../../src/errors.ts';
import { createSyntheticHipRunner } from '../../../src/runners/hip/index.ts';
import { CHOSEN_TOKEN_BYTES, HEAD_ROWS, routingStride } from '../../../src/runners/hip/sizes.ts';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';
import type { ModelRunner, SequenceStep, SubmittedStep } from '../../../src/runners/runner.ts';
import { sampledOnHost } from '../../../src/runners/sampled-on-host.ts';
import { GREEDY } from '../../../src/runners/suite/suite-run.ts';
import type { SamplingParameters } from '../../../src/sampling/parameters.ts';
import { allowToken, tokenMaskWords } from '../../../src/sampling/token-mask.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';
import { SMALL_CONFIG } from './small-model.ts';

const { vocabularySize } = SMALL_CONFIG;
const [target] = EMULATED_TARGETS;
const PROMPT_TOKENS = 2;
const ANSWER_TOKENS = 4;
/** Few tokens, so that answers say them again and again. */
const FEW = maskOf([3, 4, 40, 100, 101]);

function maskOf(ids: readonly number[]): Uint32Array {
  const mask = new Uint32Array(tokenMaskWords(vocabularySize));
  for (const id of ids) allowToken(mask, id);
  return mask;
}

interface Job extends Pick<SequenceStep, 'mask' | 'logprobs'> {
  readonly sampling: Partial<SamplingParameters>;
}

/** Ways to choose, side by side in each step. */
const JOBS: readonly Job[] = [
  { sampling: {} },
  { sampling: { repetitionPenalty: 1.5, presencePenalty: 0.5, frequencyPenalty: 1 } },
  { sampling: { frequencyPenalty: 2, presencePenalty: -1, logitBias: [[40, 3]] }, mask: FEW },
  { sampling: { temperature: 1.3, topK: 50, topP: 0.9, repetitionPenalty: 1.2, seed: 4 } },
  { sampling: { temperature: 0.8, seed: 5, logitBias: [[7, 100]], presencePenalty: 2 } },
  { sampling: { temperature: 2, seed: 6 }, mask: FEW },
  { sampling: { temperature: 1, minP: 0.1, seed: 7 } },
];

describe('rows with penalties, biases and masks on the GPU runner, emulated', function () {
  this.timeout(600_000);
  let gpu: EmulatedGpu;
  let cacheFolder = '';
  /** Bytes of each copy to the host. */
  const copied: number[] = [];
  const make = (graphs: boolean): Promise<LogitsRunner> =>
    createSyntheticHipRunner({
      config: SMALL_CONFIG,
      kvCacheBytes: 8 * 2 ** 20,
      driver: {
        ...gpu.driver,
        copyToHost: (to, from, bytes, stream) => {
          copied.push(bytes);
          gpu.driver.copyToHost(to, from, bytes, stream);
        },
      },
      compiler: gpu.compiler,
      cacheFolder,
      graphs,
      candidates: vocabularySize - 3,
    });
  const sampled = (runner: LogitsRunner): ModelRunner =>
    sampledOnHost(runner, {
      routing: { layers: 2, experts: SMALL_CONFIG.experts, topK: SMALL_CONFIG.expertsPerToken },
      tokens: vocabularySize - 3,
    });

  /** What the host chooses from logits that are brought up. */
  let onHost: readonly (readonly number[])[] = [];
  before(async function () {
    skipWithoutHostCompiler.call(this);
    gpu = emulatedGpu({ target });
    cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-emulated-'));
    await using runner = sampled(onlyLogits(await make(false)));
    onHost = await answers(runner, JOBS, { count: ANSWER_TOKENS, ahead: false });
  });
  after(() => {
    if (cacheFolder !== '') rmSync(cacheFolder, { recursive: true, force: true });
    gpu?.dispose();
  });

  /** Tokens of jobs, a step for each of an answer: `ahead` submits each before the one before it is done. */
  async function answers(
    runner: ModelRunner,
    jobs: readonly Job[],
    { count, ahead }: { readonly count: number; readonly ahead: boolean },
  ): Promise<readonly (readonly number[])[]> {
    const open = jobs.map(({ sampling, ...wanted }, index) => {
      const prompt = Int32Array.from({ length: PROMPT_TOKENS }, (_, at) => 11 * (index % JOBS.length) + 5 * at);
      return {
        sequence: runner.createSequence(),
        sampler: runner.openSampler({ ...GREEDY, ...sampling }, prompt),
        prompt,
        wanted,
        answer: [] as number[],
      };
    });
    const underWay: SubmittedStep[] = [];
    const take = async (): Promise<void> => {
      for (const [index, { token, failure }] of ((await underWay.shift()?.outputs) ?? []).entries()) {
        assert.equal(failure, undefined);
        open[index]?.answer.push(token);
      }
    };
    for (let step = 0; step < count; step++) {
      const batch = open.map(({ sequence, sampler, prompt, wanted }): SequenceStep => {
        return { sequence, sampler, tokens: step === 0 ? prompt : 'sampled', want: 'token', ...wanted };
      });
      underWay.push(runner.submit(batch));
      if (!ahead || underWay.length === 2) await take();
    }
    while (underWay.length > 0) await take();
    for (const { sequence } of open) runner.releaseSequence(sequence);
    return open.map(({ answer }) => answer);
  }

  it('give the tokens that the host chooses, eagerly and as graphs, with two steps under way, and no logits leave the device', async () => {
    assert.ok(copied.includes(4 * vocabularySize), 'the host has had logits');
    assert.ok(
      onHost.some((answer) => new Set(answer).size < answer.length),
      'some token comes twice',
    );
    for (const [graphs, ahead] of [
      [true, true],
      [false, false],
    ] as const) {
      await using runner = sampled(await make(graphs));
      copied.splice(0);
      const found = await answers(runner, JOBS, { count: ANSWER_TOKENS, ahead });
      assert.deepEqual(found, onHost, graphs ? 'graphs, two steps under way' : 'eagerly');
      const rows = [PROMPT_TOKENS * JOBS.length, ...Array(ANSWER_TOKENS - 1).fill(graphs ? 8 : JOBS.length)];
      const stride = (count: number): number => routingStride(SMALL_CONFIG, count);
      assert.deepEqual(
        copied,
        rows.map((count) => CHOSEN_TOKEN_BYTES + 2 * SMALL_CONFIG.layers * stride(count)),
        'tokens and experts',
      );
    }
  });

  it('give them beside a row whose logits come up, and where there are more than have theirs computed at once', async () => {
    await using runner = sampled(await make(true));
    const beside = await answers(runner, [...JOBS, { sampling: {}, logprobs: 0 }], { count: 2, ahead: true });
    assert.deepEqual(
      beside.slice(0, -1),
      onHost.map((answer) => answer.slice(0, 2)),
    );
    const many = Array.from({ length: HEAD_ROWS + 3 }, (_, index) => JOBS[index % JOBS.length] as Job);
    assert.deepEqual(
      await answers(runner, many, { count: 1, ahead: true }),
      many.map((_, index) => onHost[index % JOBS.length]?.slice(0, 1)),
    );
  });

  it('fail alone where a mask lets no token through', async () => {
    await using runner = sampled(await make(true));
    const step = (mask?: Uint32Array): SequenceStep => ({
      sequence: runner.createSequence(),
      sampler: runner.openSampler(GREEDY, new Int32Array(0)),
      tokens: Int32Array.of(5),
      want: 'token',
      ...(mask === undefined ? {} : { mask }),
    });
    const outputs = await runner.submit([step(maskOf([])), step(maskOf([vocabularySize - 1])), step(), step(FEW)])
      .outputs;
    assert.deepEqual(
      outputs.map(({ failure }) => failure?.constructor ?? null),
      [ForwardError, ForwardError, null, null],
    );
  });
});

/** The same runner for whoever chooses by itself, one step at a time. */
function onlyLogits(runner: LogitsRunner): LogitsRunner {
  return new Proxy(runner, {
    get: (of, name) => {
      if (name === 'choosesTokens' || name === 'start') return undefined;
      const value: unknown = Reflect.get(of, name, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
    set: (of, name, value) => Reflect.set(of, name, value, of),
  });
}
