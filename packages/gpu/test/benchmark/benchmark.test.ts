import assert from 'node:assert/strict';
import { Benchmark } from '../../src/benchmark/benchmark.ts';
import type { BenchmarkContender, Measurement } from '../../src/benchmark/benchmark.ts';
import { benchmarkTable } from '../../src/benchmark/table.ts';
import { UncheckedBenchmarkError } from '../../src/errors.ts';
import { formProblems } from './report-form.ts';

const manifest = new URL('../../package.json', import.meta.url);
const benchmarkOf = (signal?: AbortSignal): Benchmark => new Benchmark({ name: 'a test', manifest, signal });
const right = (): readonly string[] => [];
const measurement = (contenders: readonly BenchmarkContender[], rounds = 4): Measurement => ({
  name: 'call',
  unit: 'µs',
  better: 'lower',
  contenders,
  rounds,
});

describe('a benchmark', () => {
  it('writes nothing where nothing was checked', () => {
    assert.throws(() => benchmarkOf().finish(), UncheckedBenchmarkError);
  });

  it('writes nothing where every answer was wrong, and says what was', async () => {
    const benchmark = benchmarkOf();
    const check = await benchmark.check('rival', 'ids with the reference', () => ['row 3 is off']);
    assert.equal(check, null);
    let turns = 0;
    await benchmark.measure(measurement([{ name: 'rival', check, sample: () => ++turns }]));
    assert.equal(turns, 0);
    assert.throws(
      () => benchmark.finish(),
      (error: unknown) => error instanceof UncheckedBenchmarkError && /rival: row 3 is off/.test(error.message),
    );
  });

  it('keeps no figure of what was not checked: not of a failed check, nor of one that it did not make itself', async () => {
    const benchmark = benchmarkOf();
    const failed = await benchmark.check('rival', 'ids', () => ['wrong']);
    const foreign = await benchmarkOf().check('rival', 'ids', right);
    const recorded = { name: 'call', contender: 'rival', unit: 'µs', better: 'lower', samples: [1] } as const;
    for (const check of [failed, foreign, { what: 'ids' }, null]) {
      assert.throws(() => benchmark.record({ ...recorded, check }), UncheckedBenchmarkError);
    }
    for (const check of [foreign, { what: 'ids' }]) {
      await assert.rejects(
        benchmark.measure(measurement([{ name: 'rival', check, sample: () => 1 }])),
        UncheckedBenchmarkError,
      );
    }
    assert.throws(() => benchmark.finish(), UncheckedBenchmarkError);
  });

  it('checks before the first turn, lets contenders take turns, and turns the order round', async () => {
    const benchmark = benchmarkOf();
    const log: string[] = [];
    const check = await benchmark.check('both', 'ids with the reference', () => {
      log.push('check');
      return [];
    });
    const contender = (name: string): BenchmarkContender => ({
      name,
      check,
      sample: (round) => {
        log.push(`${name}${round}`);
        return round;
      },
    });
    const series = await benchmark.measure(measurement([contender('a'), contender('b')], 3));
    assert.deepEqual(log, ['check', 'b-1', 'a-1', 'a0', 'b0', 'b1', 'a1', 'a2', 'b2']);
    assert.deepEqual(
      series.map(({ contender, count, median }) => ({ contender, count, median })),
      [
        { contender: 'a', count: 3, median: 1 },
        { contender: 'b', count: 3, median: 1 },
      ],
    );
  });

  it('leaves out the one whose answers are wrong, and measures the others', async () => {
    const benchmark = benchmarkOf();
    const good = await benchmark.check('good', 'ids with the reference', right);
    const bad = await benchmark.check('bad', 'ids with the reference', () => ['row 1', 'row 2']);
    const series = await benchmark.measure(
      measurement([
        { name: 'bad', check: bad, sample: () => assert.fail('it was timed') },
        { name: 'good', check: good, sample: () => [1, 2] },
      ]),
    );
    assert.deepEqual(
      series.map(({ contender, checked, count }) => ({ contender, checked, count })),
      [{ contender: 'good', checked: 'ids with the reference', count: 8 }],
    );
    assert.deepEqual(benchmark.finish().failures, ['bad: row 1; row 2']);
  });

  it('goes on until the time is over', async () => {
    const benchmark = benchmarkOf();
    const check = await benchmark.check('one', 'ids', right);
    let turns = 0;
    const sample = async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return ++turns;
    };
    const contenders = [{ name: 'one', check, sample }];
    const [series] = await benchmark.measure({ ...measurement(contenders, 1), atLeastMilliseconds: 40 });
    assert.ok((series?.count ?? 0) > 1);
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const benchmark = benchmarkOf(controller.signal);
    const check = await benchmark.check('one', 'ids', right);
    const sample = (): number => {
      controller.abort();
      return 1;
    };
    await assert.rejects(benchmark.measure(measurement([{ name: 'one', check, sample }])), { name: 'AbortError' });
  });

  it('gives a report in the documented form, with machine, versions, commit and what was checked', async () => {
    const benchmark = new Benchmark({
      name: 'a test',
      manifest,
      packages: ['koffi', 'no-such-package'],
      gpu: { name: 'Paper GPU', architecture: 'gfx942', driver: null },
      settings: { replays: 3 },
    });
    const check = await benchmark.check('one', 'ids with the reference', right);
    await benchmark.measure({
      ...measurement([{ name: 'one', check, sample: () => 1.5, facts: { registers: 18 } }]),
      parameters: { tokens: 4, dtype: 'bf16' },
    });
    const recorded = { name: 'memory', contender: 'one', unit: 'MiB', better: 'lower', check } as const;
    benchmark.record({ ...recorded, samples: [3, 1, 2], keepSamples: true });
    benchmark.addVersion('compiler', 'NVRTC 13.0');
    benchmark.note('ONNX Runtime was not measured.');
    const report = benchmark.finish();
    assert.deepEqual(formProblems(JSON.parse(JSON.stringify(report))), []);
    assert.deepEqual(Object.keys(report.versions), ['node', '@switchyard/gpu', 'koffi', 'compiler']);
    assert.equal(report.versions['node'], process.versions.node);
    assert.deepEqual(report.series[1]?.samples, [3, 1, 2]);
    assert.deepEqual(report.series[0]?.facts, { registers: 18 });
    const table = benchmarkTable(report);
    for (const text of [
      'Paper GPU',
      'koffi ',
      'call, µs, lower is better, tokens 4, dtype bf16',
      'ONNX Runtime was not',
    ]) {
      assert.ok(table.includes(text), text);
    }
  });

  it('prints how many times as good as the first each contender is, for times and for rates', async () => {
    const benchmark = benchmarkOf();
    const check = await benchmark.check('both', 'ids', right);
    const pair = (a: number, b: number): readonly BenchmarkContender[] => [
      { name: 'baseline', check, sample: () => a },
      { name: 'candidate', check, sample: () => b },
    ];
    await benchmark.measure(measurement(pair(6, 2)));
    await benchmark.measure({ ...measurement(pair(100, 250)), name: 'decode', unit: 'tokens/s', better: 'higher' });
    const lines = benchmarkTable(benchmark.finish()).split('\n');
    assert.deepEqual(
      lines.filter((line) => line.startsWith('candidate')).map((line) => line.split(/ +/).at(-1)),
      ['3.00', '2.50'],
    );
  });
});

describe('a table', () => {
  it('shows a single sample once, and of several what is kept of them', async () => {
    const benchmark = benchmarkOf();
    const check = await benchmark.check('one', 'ids', right);
    const about = { contender: 'one', unit: 's', better: 'lower', check } as const;
    benchmark.record({ ...about, name: 'load', samples: [1.5] });
    benchmark.record({ ...about, name: 'call', samples: [1, 2, 6] });
    const words = benchmarkTable(benchmark.finish())
      .split('\n')
      .slice(-8)
      .map((line) => line.split(/ +/));
    assert.deepEqual(words[0]?.slice(0, 2), ['load,', 's,']);
    assert.deepEqual(words.slice(1, 3), [
      ['contender', 'value'],
      ['one', '1.500'],
    ]);
    assert.deepEqual(words.slice(6), [['one', '2.000', '6.000', '1.000', '6.000', '3'], ['']]);
  });
});

describe('the documented form', () => {
  const series = {
    name: 'call',
    contender: 'one',
    unit: 'µs',
    better: 'lower',
    parameters: {},
    checked: 'ids with the reference',
    count: 1,
    median: 1,
    p99: 1,
    min: 1,
    max: 1,
  };
  const report = {
    form: 'switchyard-benchmark-1',
    benchmark: 'a test',
    date: '2026-01-01T00:00:00.000Z',
    commit: null,
    machine: { processor: 'x', cores: 1, memoryBytes: 1, system: 'x', loadBefore: null, gpu: null },
    versions: { node: '20.19.0' },
    settings: {},
    series: [series],
    failures: [],
    notes: [],
  };

  it('accepts the least report', () => {
    assert.deepEqual(formProblems(report), []);
  });

  const { checked, ...unchecked } = series;
  const wrong: readonly (readonly [what: string, report: unknown])[] = [
    ['no series', { ...report, series: [] }],
    ['a series that does not say what was checked', { ...report, series: [unchecked] }],
    ['a series of which nothing was checked', { ...report, series: [{ ...series, checked: checked.slice(0, 0) }] }],
    ['a series without samples', { ...report, series: [{ ...series, count: 0 }] }],
    ['a median that is no number', { ...report, series: [{ ...series, median: null }] }],
    ['no version of Node', { ...report, versions: {} }],
    ['another form', { ...report, form: 'switchyard-benchmark-0' }],
    ['what it does not know', { ...report, remark: 'fast' }],
  ];
  for (const [what, example] of wrong) {
    it(`refuses ${what}`, () => {
      assert.notDeepEqual(formProblems(example), []);
    });
  }
});
