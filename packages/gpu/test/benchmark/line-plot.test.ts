import assert from 'node:assert/strict';
import { linePlot } from '../../src/benchmark/line-plot.ts';

const line = (label: string, ...ys: readonly number[]) => ({
  label,
  colour: '#123456',
  points: ys.map((y, index) => ({ x: 2 ** index, y })),
});
const plot = (...lines: ReturnType<typeof line>[]): string =>
  linePlot({ title: 'a < b & c', subtitle: 'tokens/s', xLabel: 'sequences', lines });
const texts = (svg: string): readonly string[] =>
  [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, of]) => of ?? '');

describe('a plot of lines', () => {
  it('names what is on both axes, with a tick for every x and for 1, 2 and 5 around every y', () => {
    assert.deepEqual(texts(plot(line('one', 0.3, 3, 30), line('two', 1, 4))), [
      'a &lt; b &amp; c',
      'tokens/s',
      '1',
      '2',
      '4',
      '0.2',
      '0.5',
      '1',
      '2',
      '5',
      '10',
      '20',
      '50',
      'sequences',
      'one',
      'two',
    ]);
  });

  it('puts equal ratios at equal distances, and no point outside the axes', () => {
    const svg = plot(line('one', 10, 100, 1000));
    const [, path = ''] = /polyline points="([^"]*)"/.exec(svg) ?? [];
    const points = path.split(' ').map((point) => point.split(',').map(Number));
    assert.deepEqual(points, [
      [72, 408],
      [336, 230],
      [600, 52],
    ]);
  });

  it('draws what is computed in dashes without dots, and nothing of a line without points', () => {
    const svg = linePlot({
      title: '',
      subtitle: '',
      xLabel: '',
      lines: [{ ...line('bound', 1, 2), isComputed: true }, line('none')],
    });
    assert.match(svg, /stroke-dasharray/);
    assert.doesNotMatch(svg, /circle|none<\/text>/);
  });

  it('keeps labels of lines that end at the same place apart', () => {
    const heights = [
      ...plot(line('one', 5), line('two', 5), line('three', 5.01)).matchAll(
        /y="([\d.]+)" font-size="12" fill="#123456"/g,
      ),
    ];
    const sorted = heights.map(([, y]) => Number(y)).sort((a, b) => a - b);
    assert.equal(sorted.length, 3);
    sorted.forEach((y, index) => assert.ok(index === 0 || y - (sorted[index - 1] ?? 0) >= 14));
  });

  it('has colours for light and for dark', () => {
    assert.match(plot(line('one', 5)), /prefers-color-scheme: dark/);
  });
});
