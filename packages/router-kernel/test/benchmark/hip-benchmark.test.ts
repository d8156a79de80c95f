import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { UncheckedBenchmarkError } from '@switchyard/gpu';
import type { KernelLibrary } from '@switchyard/gpu';
import { formProblems } from '../../../gpu/test/benchmark/report-form.ts';
import type { Contender, ContenderName } from '../../src/benchmark/hip/contender.ts';
import { flashInferContender } from '../../src/benchmark/hip/flashinfer.ts';
import { hipFiguresOf } from '../../src/benchmark/hip/figures.ts';
import { benchmarkPlot } from '../../src/benchmark/hip/plot.ts';
import { runHipBenchmark } from '../../src/benchmark/hip/run-hip-benchmark.ts';
import type { HipBenchmarkOptions } from '../../src/benchmark/hip/run-hip-benchmark.ts';
import { benchmarkTables } from '../../src/benchmark/hip/tables.ts';
import type { BenchmarkShape } from '../../src/benchmark/logits.ts';
import { buildDispatchPlan } from '../../src/dispatch-plan.ts';
import { referenceRoute } from '../../src/reference.ts';
import { MemoryDriver } from './memory-driver.ts';

const SHAPE: BenchmarkShape = { experts: 8, topK: 2, dtype: 'f32' };
const MICROSECONDS = { switchyard: 2, vllm: 6, empty: 1 } as const;

type Sabotage = (output: { readonly weights: Float32Array; readonly ids: Int32Array }) => void;

/** A contender that answers as the reference does, and then as `sabotage` wants it. */
function contenderOf(
  driver: MemoryDriver,
  name: ContenderName & keyof typeof MICROSECONDS,
  sabotage: Sabotage = () => undefined,
): Contender {
  const { experts, topK } = SHAPE;
  return {
    name,
    prepare: async () => ({ registers: 18, scratchBytes: 0, sharedBytes: 0 }),
    enqueue: (_stream, tokens, buffers) => {
      const view = (pointer: bigint, elements: number): Uint8Array => driver.at(pointer, elements * 4);
      const run = (): void => {
        const logits = new Float32Array(view(buffers.logits, tokens * experts).slice().buffer);
        const output = referenceRoute({ experts, topK }, logits);
        const written = { weights: output.weights, ids: Int32Array.from(output.ids as Int32Array) };
        sabotage(written);
        view(buffers.weights, tokens * topK).set(new Uint8Array(written.weights.buffer));
        view(buffers.ids, tokens * topK).set(new Uint8Array(written.ids.buffer));
      };
      driver.enqueue({
        run: name === 'empty' && sabotage.length === 0 ? () => undefined : run,
        microseconds: MICROSECONDS[name],
      });
    },
  };
}

const options = (contenders: readonly Contender[]): HipBenchmarkOptions => ({
  shapes: [SHAPE],
  tokens: [1, 65],
  measure: { launches: 4, replays: 25 },
  copyBytes: 1024,
  contendersOf: async () => contenders,
});

describe('the HIP benchmark', () => {
  it('gives a report in the documented form: medians a launch, as many samples as replays, what was checked', async () => {
    const driver = new MemoryDriver();
    const contenders = (['switchyard', 'vllm', 'empty'] as const).map((name) => contenderOf(driver, name));
    const report = await runHipBenchmark(driver, options(contenders));
    assert.deepEqual(formProblems(JSON.parse(JSON.stringify(report))), []);
    assert.deepEqual(report.failures, []);
    const launches = report.series.filter(({ name }) => name === 'launch');
    assert.deepEqual(
      launches.map(({ contender, parameters, median, count }) => [parameters['tokens'], contender, median, count]),
      [1, 65].flatMap((tokens) => Object.entries(MICROSECONDS).map(([name, time]) => [tokens, name, time, 25])),
    );
    assert.ok(launches.every(({ checked }) => checked.length > 0));
    assert.equal(driver.blocks, 0, 'memory is left');
  });

  it('lets contenders take turns', async () => {
    const driver = new MemoryDriver();
    const contenders = (['switchyard', 'vllm'] as const).map((name) => contenderOf(driver, name));
    await runHipBenchmark(driver, { ...options(contenders), tokens: [1] });
    const turns = driver.replayed.filter((one, index) => one !== driver.replayed[index - 1]);
    assert.deepEqual(turns, [6, 2, 6, 2, 6]);
    assert.equal(driver.replayed.length, 2 * (11 + 11 + 11 + 6));
  });

  const sabotages: readonly (readonly [what: string, sabotage: Sabotage])[] = [
    ['the last row has another expert', ({ ids }) => ids.set([(ids.at(-1) ?? 0) ^ 1], ids.length - 1)],
    ['a weight is a thousandth off', ({ weights }) => weights.set([(weights[0] ?? 0) * 1.001])],
    ['a slot is not written', ({ ids }) => new Uint8Array(ids.buffer).fill(0xa5, ids.byteLength - 4)],
  ];
  for (const [what, sabotage] of sabotages) {
    it(`times nobody whose answers are wrong: ${what}`, async () => {
      const driver = new MemoryDriver();
      const contenders = [contenderOf(driver, 'switchyard'), contenderOf(driver, 'vllm', sabotage)];
      const report = await runHipBenchmark(driver, options(contenders));
      assert.deepEqual(
        report.series.filter(({ name }) => name === 'launch').map(({ contender }) => contender),
        ['switchyard', 'switchyard'],
      );
      assert.equal(report.failures.length, 2);
      assert.match(report.failures[0] ?? '', /^vllm \(8, 2\) f32 T = 1: /);
      assert.match(benchmarkTables(hipFiguresOf(report)), /WRONG, not timed: vllm/);
    });
  }

  it('writes no launches where all answers are wrong', async () => {
    const driver = new MemoryDriver();
    const wrong = contenderOf(driver, 'switchyard', ({ ids }) => ids.fill(0));
    const report = await runHipBenchmark(driver, options([wrong]));
    assert.throws(() => hipFiguresOf(report), /no launches/);
    // Of a copy that goes wrong too, nothing is left.
    const broken = new MemoryDriver();
    broken.copyOnDevice = () => undefined;
    await assert.rejects(
      runHipBenchmark(broken, options([contenderOf(broken, 'switchyard', ({ ids }) => ids.fill(0))])),
      UncheckedBenchmarkError,
    );
  });

  it('does not take a kernel that writes for an empty one', async () => {
    const driver = new MemoryDriver();
    const writes: Sabotage = (output) => void output;
    const report = await runHipBenchmark(driver, options([contenderOf(driver, 'empty', writes)]));
    assert.match(report.failures[0] ?? '', /^empty .*: it wrote/);
  });
});

describe('a plan of the HIP benchmark', () => {
  /** Routes 65 rows right, and makes a plan whose experts have their slots in falling order. */
  function disordered(driver: MemoryDriver, keepsPlanOrder: boolean, spoil: (slots: Int32Array) => void): Contender {
    const router = contenderOf(driver, 'switchyard');
    const { experts, topK } = SHAPE;
    return {
      ...router,
      keepsPlanOrder,
      planWorkspaceBytes: () => 16,
      enqueue: (stream, tokens, buffers) => {
        router.enqueue(stream, tokens, buffers);
        const { plan } = buffers;
        assert.ok(plan !== undefined);
        const run = (): void => {
          const ids = new Int32Array(driver.at(buffers.ids, tokens * topK * 4).slice().buffer);
          const { expertOffsets, sortedSlots } = buildDispatchPlan(ids, experts);
          for (let expert = 0; expert < experts; expert++) {
            sortedSlots.subarray(expertOffsets[expert], expertOffsets[expert + 1]).sort((a, b) => b - a);
          }
          spoil(sortedSlots);
          driver.at(plan.expertOffsets, (experts + 1) * 4).set(new Uint8Array(expertOffsets.buffer));
          driver.at(plan.sortedSlots, tokens * topK * 4).set(new Uint8Array(sortedSlots.buffer));
        };
        driver.enqueue({ run, microseconds: 1 });
      },
    };
  }
  const failuresOf = async (
    keepsPlanOrder: boolean,
    spoil: (slots: Int32Array) => void,
  ): Promise<readonly string[]> => {
    const driver = new MemoryDriver();
    const contenders = [contenderOf(driver, 'vllm'), disordered(driver, keepsPlanOrder, spoil)];
    return (await runHipBenchmark(driver, { ...options(contenders), tokens: [65] })).failures;
  };

  it('may have the slots of an expert in any order where the contender says so, and nowhere else', async () => {
    assert.deepEqual(await failuresOf(false, () => undefined), []);
    assert.match((await failuresOf(true, () => undefined)).join(), /sortedSlots/);
  });

  it('is wrong in any order where a slot is with another expert', async () => {
    const swapEnds = (slots: Int32Array): void => {
      const [first = 0, last = 0] = [slots[0], slots.at(-1)];
      slots.set([last]);
      slots.set([first], slots.length - 1);
    };
    assert.match((await failuresOf(false, swapEnds)).join(), /sortedSlots/);
  });

  it("has no contender after FlashInfer's algorithm on GPUs without clusters", async () => {
    for (const target of [
      { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
      { vendor: 'nvidia', architecture: 'sm_80', waveSize: 32 },
    ] as const) {
      const library = { target } as KernelLibrary;
      assert.equal(await flashInferContender(SHAPE, new MemoryDriver(), library), null, target.architecture);
    }
  });
});

describe('a stored HIP benchmark', () => {
  const folder = new URL('../../../../docs/benchmarks/', import.meta.url);
  const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');

  it('gives the tables and the plot that are stored beside it', () => {
    const figures = hipFiguresOf(JSON.parse(read('h100-hip-router.json')));
    assert.equal(benchmarkTables(figures), read('h100-hip-router.txt'));
    assert.equal(benchmarkPlot(figures), read('h100-hip-router.svg'));
  });

  it('gives the same tables and plot in the form of now', async () => {
    const driver = new MemoryDriver();
    const contenders = (['switchyard', 'vllm', 'empty'] as const).map((name) => contenderOf(driver, name));
    const figures = hipFiguresOf(await runHipBenchmark(driver, options(contenders)));
    const [, , , , , title, , row] = benchmarkTables(figures).split('\n');
    assert.equal(title, '(8, 2) f32, warm cache');
    assert.deepEqual(row?.trim().split(/ +/), ['1', '1.00', '6.00', '-', '-', '-', '2.00', '2.00', '3.00', '-', '1']);
    assert.match(benchmarkPlot(figures), /Memory GPU/);
  });

  it('is refused where it is something else', () => {
    for (const other of [{}, null, [], 'x', { results: [] }])
      assert.throws(() => hipFiguresOf(other), /holds no HIP benchmark/);
  });
});
