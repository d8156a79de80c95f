import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { BenchmarkReport } from '@switchyard/gpu/benchmark';
import { decodePlot } from '../../src/bench/decode-plot.ts';

const folder = new URL('../../../../docs/benchmarks/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');

describe('the plot of decoding', () => {
  it('is what is stored beside the report', () => {
    const report = JSON.parse(read('h200-engine-decode.json')) as BenchmarkReport;
    assert.equal(decodePlot(report), read('h200-engine-decode.svg'));
  });

  it('has no bound where the bandwidth is not known, and one context only', () => {
    const report = JSON.parse(read('h200-engine-decode.json')) as BenchmarkReport;
    const [decoded] = report.series.filter(({ name }) => name === 'decode');
    assert.ok(decoded !== undefined);
    const deeper = { ...decoded, parameters: { sequences: 2, context: 9999 } };
    const svg = decodePlot({ ...report, series: [decoded, deeper] });
    assert.doesNotMatch(svg, /bandwidth|9999/);
    assert.equal(svg.match(/<circle/g)?.length, 1);
  });

  it('refuses a report without decoding', () => {
    const report = JSON.parse(read('h100-hip-plan.json')) as BenchmarkReport;
    assert.throws(() => decodePlot(report), RangeError);
  });
});
