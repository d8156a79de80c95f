import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmulatedGpu, emulatedGpu } from '@switchyard/gpu/testing';
import { DeviceError } from '@switchyard/gpu';
import { createHipRouter } from '@switchyard/router-kernel/hip';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { type SyntheticHipRunnerOptions, createSyntheticHipRunner } from '../../../src/runners/hip/index.ts';
import { FEWEST_TILE_TOKENS } from '../../../src/runners/hip/plan-passes.ts';
import { MOST_ROWS_BY_SLOT } from '../../../src/runners/hip/sizes.ts';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';
import { GREEDY } from '../../../src/runners/suite/suite-run.ts';
import { indexOfLargest } from '../../../src/sampling/largest.ts';
import type { SequenceStep, SubmittedStep } from '../../../src/runners/runner.ts';
import { sampledOnHost } from '../../../src/runners/sampled-on-host.ts';
import { Sampler } from '../../../src/sampling/sampler.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';
import { SMALL_CONFIG, errorOf } from './small-model.ts';

const [target] = EMULATED_TARGETS;
/** Activations in bf16 through two layers: some roundings of 2^-9 each, of the root mean square of the logits. */
const ONE_TERM_TOLERANCE = 5e-2;
/** In two terms: some of 2^-17 each. */
const TWO_TERM_TOLERANCE = 2e-4;
const bits = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

describe('the GPU runner on a small emulated model', function () {
  this.timeout(600_000);
  let gpu: EmulatedGpu;
  let cacheFolder = '';
  let eager: LogitsRunner;
  let graph: LogitsRunner;

  const make = (
    graphs: boolean,
    options: Pick<SyntheticHipRunnerOptions, 'activations' | 'mostSplitTokens' | 'routing'> = {},
  ): Promise<LogitsRunner> =>
    createSyntheticHipRunner({
      config: SMALL_CONFIG,
      kvCacheBytes: 8 * 2 ** 20,
      driver: gpu.driver,
      compiler: gpu.compiler,
      cacheFolder,
      graphs,
      ...options,
    });
  const tokens = (count: number, seed: number): Int32Array =>
    Int32Array.from({ length: count }, (_, index) => (index * 37 + seed * 101) % SMALL_CONFIG.vocabularySize);
  const last = async (runner: LogitsRunner, sequence: number, added: Int32Array): Promise<string> => {
    const [output] = await runner.forward([{ sequence, tokens: added }]);
    return bits(output?.logits ?? new Float32Array(0));
  };

  before(async function () {
    skipWithoutHostCompiler.call(this);
    gpu = emulatedGpu({ target });
    cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-emulated-'));
    eager = await make(false);
    graph = await make(true);
  });
  after(async () => {
    await eager?.dispose();
    await graph?.dispose();
    if (cacheFolder !== '') rmSync(cacheFolder, { recursive: true, force: true });
    const left = gpu?.allocatedBytes ?? 0;
    gpu?.dispose();
    assert.equal(left, 0, 'disposed runners hold no memory of the device');
  });

  it('computes a row with the same bits alone and in company, eagerly and as a graph, in decode and in prefill', async () => {
    const prompt = tokens(6, 1);
    const alone = eager.createSequence();
    await eager.forward([{ sequence: alone, tokens: prompt.subarray(0, -1), logits: 'none' }]);
    const expected = await last(eager, alone, prompt.subarray(-1));
    const whole = eager.createSequence();
    assert.equal(await last(eager, whole, prompt), expected, 'in prefill');
    // Up to four rows the experts are computed slot by slot, with more by expert.
    for (const others of [0, 2, 6, 64]) {
      const own = graph.createSequence();
      await graph.forward([{ sequence: own, tokens: prompt.subarray(0, -1), logits: 'none' }]);
      const company = Array.from({ length: others }, (_, index) => ({
        sequence: graph.createSequence(),
        tokens: tokens(1, index + 2),
      }));
      const outputs = await graph.forward([...company, { sequence: own, tokens: prompt.subarray(-1) }]);
      assert.equal(bits(outputs.at(-1)?.logits ?? new Float32Array(0)), expected, `a graph, beside ${others} others`);
      for (const { sequence } of [...company, { sequence: own }]) graph.releaseSequence(sequence);
    }
    for (const sequence of [alone, whole]) eager.releaseSequence(sequence);
  });

  it('draws the tokens that the sampler draws from its logits, eagerly and as a graph', async () => {
    const prompt = tokens(4, 6);
    const sampler = new Sampler({ ...GREEDY, temperature: 1.5, topK: 40, topP: 0.9, seed: 5 }, new Int32Array(0));
    for (const runner of [eager, graph]) {
      const [own, other] = [runner.createSequence(), runner.createSequence()];
      await runner.forward([own, other].map((sequence) => ({ sequence, tokens: prompt, logits: 'none' as const })));
      for (let count = 0; count < 3; count++) {
        const copy = runner.forkSequence(own, runner.length(own));
        const draw = sampler.planDraw();
        assert.ok(copy !== null && draw !== null);
        const next = tokens(1, 20 + count);
        const [drawn, largest] = await runner.forward([
          { sequence: own, tokens: next, logits: 'drawn', draw },
          { sequence: other, tokens: next, logits: 'largest' },
        ]);
        const [output] = await runner.forward([{ sequence: copy, tokens: next }]);
        assert.equal(drawn?.token, sampler.sample(output?.logits ?? new Float32Array(0)));
        assert.equal(largest?.token, indexOfLargest(output?.logits ?? new Float32Array(0)));
        runner.releaseSequence(copy);
      }
      for (const sequence of [own, other]) runner.releaseSequence(sequence);
    }
  });

  it('gives the same answers with two steps under way, beside prompts that come and end meanwhile', async () => {
    const answers = async (ahead: boolean): Promise<number[][]> => {
      const runner = sampledOnHost(graph, {
        routing: { layers: 2, experts: SMALL_CONFIG.experts, topK: SMALL_CONFIG.expertsPerToken },
      });
      // The last one is chosen on the host: its steps are run to their end, pass by pass, beside tokens that nobody has seen.
      const jobs = [
        GREEDY,
        { ...GREEDY, temperature: 1.2, seed: 9 },
        GREEDY,
        { ...GREEDY, temperature: 0.9, seed: 2 },
        { ...GREEDY, repetitionPenalty: 1.3 },
      ];
      const open = jobs.map((sampling, index) => ({
        sequence: runner.createSequence(),
        sampler: runner.openSampler(sampling, new Int32Array(0)),
        // The last three come by matrix tiles, one step after the other.
        prompt: index < 2 ? tokens(3 + index, 30 + index) : tokens(FEWEST_TILE_TOKENS + index, 30 + index),
        from: Math.max(0, index - 1),
        answer: [] as number[],
      }));
      const underWay: { readonly active: typeof open; readonly step: SubmittedStep }[] = [];
      const take = async (): Promise<void> => {
        const { active, step } = underWay.shift() ?? { active: [] };
        for (const [index, { token }] of ((await step?.outputs) ?? []).entries()) active[index]?.answer.push(token);
      };
      for (let count = 0; count < 5; count++) {
        const active = open.filter(({ from }) => from <= count);
        const batch = active.map(({ sequence, sampler, prompt, from }): SequenceStep => {
          return { sequence, sampler, tokens: from === count ? prompt : 'sampled', want: 'token' };
        });
        underWay.push({ active, step: runner.submit(batch) });
        if (!ahead || underWay.length === 2) await take();
      }
      await take();
      for (const { sequence } of open) runner.releaseSequence(sequence);
      return open.map(({ answer }) => answer);
    };
    const expected = await answers(false);
    assert.deepEqual(
      expected.map(({ length }) => length),
      [5, 5, 4, 3, 2],
    );
    assert.deepEqual(await answers(true), expected);
  });

  it('takes the experts of a router before, for measuring: its own gives the same bits, prepared ids are what is taken', async () => {
    const router = await createHipRouter(
      { experts: SMALL_CONFIG.experts, topK: SMALL_CONFIG.expertsPerToken, logitsDtype: 'f32' },
      { driver: gpu.driver, compiler: gpu.compiler, cacheFolder, prepare: 'none' },
    );
    await router.prepare({ tokens: 2 });
    const slots = MOST_ROWS_BY_SLOT * SMALL_CONFIG.expertsPerToken;
    const ids = Int32Array.from({ length: 2 * slots }, (_, index) => (index * 5 + 1) % SMALL_CONFIG.experts);
    const apart = await make(false, {
      routing: { enqueue: (stream, rows, at) => router.enqueue(stream, { tokens: rows, ...at }) },
    });
    const prepared = await make(false, { routing: { enqueue: () => undefined, ids } });
    try {
      const stepOf = async (runner: LogitsRunner): Promise<readonly string[]> => {
        const batch = [7, 8].map((seed) => ({ sequence: runner.createSequence(), tokens: tokens(1, seed) }));
        const outputs = await runner.forward(batch);
        for (const { sequence } of batch) runner.releaseSequence(sequence);
        return outputs.map(({ logits }) => bits(logits));
      };
      assert.deepEqual(await stepOf(apart), await stepOf(eager));
      const routed: number[][] = [];
      prepared.onRouting = ({ ids: found }) => void routed.push([...found]);
      await stepOf(prepared);
      const taken = 2 * SMALL_CONFIG.expertsPerToken;
      assert.deepEqual(routed, [[...ids.subarray(0, taken)], [...ids.subarray(slots, slots + taken)]]);
    } finally {
      await apart.dispose();
      await prepared.dispose();
      await router.dispose();
    }
  });

  it('computes a prompt by matrix tiles near what it is in f32, with the same bits alone, in company and in parts', async () => {
    const prompt = tokens(2 * FEWEST_TILE_TOKENS + 3, 5);
    const exact = await make(false, { activations: 'exact' });
    // Its own in one term, of the others some in two.
    const rounding = await make(false, { mostSplitTokens: FEWEST_TILE_TOKENS + 1 });
    const piece = FEWEST_TILE_TOKENS - 1;
    const byVectors = async (): Promise<Float32Array> => {
      const sequence = eager.createSequence();
      const rows: number[] = [];
      for (let start = 0; start < prompt.length; start += piece) {
        const step = { sequence, tokens: prompt.subarray(start, start + piece), logits: 'all' as const };
        const [output] = await eager.forward([step]);
        rows.push(...(output?.logits ?? []));
      }
      eager.releaseSequence(sequence);
      return Float32Array.from(rows);
    };
    const logitsOf = async (runner: LogitsRunner, company: number): Promise<Float32Array> => {
      const own = runner.createSequence();
      const others = Array.from({ length: company }, (_, index) => ({
        sequence: runner.createSequence(),
        tokens: tokens(index === 0 ? 1 : FEWEST_TILE_TOKENS + index, index + 6),
        logits: 'none' as const,
      }));
      const outputs = await runner.forward([...others, { sequence: own, tokens: prompt, logits: 'all' }]);
      for (const { sequence } of [...others, { sequence: own }]) runner.releaseSequence(sequence);
      return outputs.at(-1)?.logits ?? new Float32Array(0);
    };
    const inParts = async (runner: LogitsRunner): Promise<Float32Array> => {
      const sequence = runner.createSequence();
      const rows: number[] = [];
      for (const [start, end] of [
        [0, FEWEST_TILE_TOKENS + 9],
        [FEWEST_TILE_TOKENS + 9, FEWEST_TILE_TOKENS + 10],
        [FEWEST_TILE_TOKENS + 10, prompt.length],
      ] as const) {
        const part = { sequence, tokens: prompt.subarray(start, end), piece: prompt.length, logits: 'all' as const };
        const [output] = await runner.forward([part]);
        rows.push(...(output?.logits ?? []));
      }
      runner.releaseSequence(sequence);
      return Float32Array.from(rows);
    };
    try {
      const expected = await byVectors();
      const found = new Map<LogitsRunner, string>();
      for (const [runner, tolerance] of [
        [eager, TWO_TERM_TOLERANCE],
        [exact, TWO_TERM_TOLERANCE],
        [rounding, ONE_TERM_TOLERANCE],
      ] as const) {
        const alone = await logitsOf(runner, 0);
        found.set(runner, bits(alone));
        assert.equal(bits(await logitsOf(runner, 3)), bits(alone), 'in company');
        assert.equal(bits(await inParts(runner)), bits(alone), 'in parts of the piece that it is');
        const { largest, scale } = errorOf(alone, expected);
        assert.ok(largest <= tolerance * scale, `off by ${largest} where logits are about ${scale}`);
      }
      assert.notEqual(found.get(rounding), found.get(eager), 'one term rounds what two do not');
    } finally {
      await exact.dispose();
      await rounding.dispose();
    }
  });

  it('leaves sequences as they were where the device fails, and goes on when it works again', async () => {
    const prompt = tokens(5, 3);
    const [sequence, spare] = [eager.createSequence(), eager.createSequence()];
    await eager.forward([{ sequence, tokens: prompt.subarray(0, 3), logits: 'none' }]);
    gpu.failure = new DeviceError('hip', 'hipModuleLaunchKernel', 'hipErrorLaunchFailure (719)', 'lost');
    await assert.rejects(eager.forward([{ sequence, tokens: prompt.subarray(3) }]), DeviceError);
    gpu.failure = null;
    assert.equal(eager.length(sequence), 3);
    const after = await last(eager, sequence, prompt.subarray(3));
    assert.equal(after, await last(eager, spare, prompt), 'as if nothing had been');
    for (const each of [sequence, spare]) eager.releaseSequence(each);
  });

  it('copies a shared last block before it writes to it', async () => {
    const prompt = tokens(5, 4);
    const source = eager.createSequence();
    await eager.forward([{ sequence: source, tokens: prompt, logits: 'none' }]);
    const copy = eager.forkSequence(source, 5);
    assert.ok(copy !== null);
    await last(eager, copy, tokens(2, 9));
    const anew = eager.createSequence();
    await eager.forward([{ sequence: anew, tokens: prompt, logits: 'none' }]);
    assert.equal(await last(eager, source, tokens(1, 7)), await last(eager, anew, tokens(1, 7)));
    for (const each of [source, copy, anew]) eager.releaseSequence(each);
  });
});
