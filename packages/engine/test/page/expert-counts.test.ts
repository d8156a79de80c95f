import assert from 'node:assert/strict';

interface Layer {
  readonly layer: number;
  readonly tokens: readonly number[];
}
interface Module {
  readonly loadBetween: (before: readonly Layer[], now: readonly Layer[]) => Layer[];
  readonly layerSummary: (tokens: readonly number[]) => object;
  readonly TokenTrace: new () => {
    add(routed: object): void;
    load(experts: number): Layer[];
    readonly size: number;
    readonly tokens: readonly { readonly position: number; readonly text: string }[];
  };
}

const { loadBetween, layerSummary, TokenTrace } = (await import(
  new URL('../../assets/page/expert-counts.mjs', import.meta.url).href
)) as Module;

describe('counts of the heat map', () => {
  it('are the difference of two readings, layer by layer', () => {
    const before = [{ layer: 0, tokens: [1, 2] }];
    const now = [
      { layer: 0, tokens: [4, 2] },
      { layer: 1, tokens: [5, 0] },
    ];
    assert.deepEqual(loadBetween(before, now), [
      { layer: 0, tokens: [3, 0] },
      { layer: 1, tokens: [5, 0] },
    ]);
  });

  it('are all of the second reading in every layer where one of them shows a new start', () => {
    const before = [
      { layer: 0, tokens: [9, 9] },
      { layer: 1, tokens: [1, 0] },
    ];
    const now = [
      { layer: 0, tokens: [10, 3] },
      { layer: 1, tokens: [7, 6] },
    ];
    assert.deepEqual(loadBetween(before, now), now);
  });

  it('say the busiest expert, its share, and who had nothing to do', () => {
    assert.deepEqual(layerSummary([1, 0, 3, 0]), { busiest: 2, most: 3, sum: 4, share: 0.75, unused: 2 });
    assert.deepEqual(layerSummary([0, 0]), { busiest: 0, most: 0, sum: 0, share: 0, unused: 2 });
  });

  it('of traced tokens have each position once, however often it came', () => {
    const trace = new TokenTrace();
    const layers = [
      {
        layer: 0,
        experts: [
          [0, 2],
          [2, 1],
        ],
        weights: [
          [0.6, 0.4],
          [0.5, 0.5],
        ],
      },
    ];
    trace.add({ position: 3, tokens: ['c', 'd'], layers });
    trace.add({ position: 2, tokens: ['b'], layers: [{ layer: 0, experts: [[3, 0]], weights: [[0.9, 0.1]] }] });
    trace.add({ position: 3, tokens: ['c', 'd'], layers });
    assert.equal(trace.size, 3);
    assert.deepEqual(
      trace.tokens.map(({ position, text }) => [position, text]),
      [
        [2, 'b'],
        [3, 'c'],
        [4, 'd'],
      ],
    );
    assert.deepEqual(trace.load(4), [{ layer: 0, tokens: [2, 1, 2, 1] }]);
  });
});
