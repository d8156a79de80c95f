import assert from 'node:assert/strict';
import { MOST_PARTIALS, MOST_SPLIT_ROWS, MOST_VECTOR_ROWS, partialsAt } from '../../../src/runners/hip/sizes.ts';
import { FEWEST_TILE_TOKENS, planPasses } from '../../../src/runners/hip/plan-passes.ts';
import { MOST_ROWS, STEP_BYTES, STEP_PLACES, writeRuns, writeStep } from '../../../src/runners/hip/step-block.ts';
import { ADJUSTMENT_PLACES, MOST_ADJUSTED_TOKENS } from '../../../src/runners/hip/step-adjustments.ts';
import { GREEDY } from '../../../src/runners/suite/suite-run.ts';
import { Sampler } from '../../../src/sampling/sampler.ts';
import { tokenMaskWords } from '../../../src/sampling/token-mask.ts';
import type { SequenceTables } from '../../../src/runners/kv-sequences.ts';

/** Blocks numbered by sequence, for `tokens` tokens. */
function tablesOf(sequence: number, tokens: number, windowFirst: number): SequenceTables {
  const blocks = Math.ceil(tokens / 16);
  const numbers = Array.from({ length: blocks }, (_, index) => sequence * 100_000 + index);
  return { full: numbers, window: numbers.slice(windowFirst).map((number) => number + 50_000), windowFirst };
}

describe('the step block of the GPU runner', () => {
  it('tells each row its token, position, tables and partial results', () => {
    const words = new Int32Array(STEP_BYTES / 4).fill(-1);
    const lengths = new Map([
      [1, 300],
      [2, 5],
    ]);
    const tables = new Map([
      [1, tablesOf(1, 302, 10)],
      [2, tablesOf(2, 8, 0)],
    ]);
    const [pass, ...more] = planPasses(
      [
        { sequence: 1, tokens: Int32Array.of(11, 12), logits: 'last' },
        { sequence: 2, tokens: Int32Array.of(21, 22, 23), logits: 'none' },
      ],
      (sequence) => lengths.get(sequence) ?? 0,
      (sequence) => tables.get(sequence) ?? tablesOf(0, 0, 0),
    );
    assert.ok(pass !== undefined && more.length === 0);
    const bytes = writeStep(words, pass.rows);
    const column = (place: number): number[] => [...words.subarray(place, place + 5)];
    assert.equal(words[STEP_PLACES.STEP_ROWS], 5);
    assert.deepEqual(column(STEP_PLACES.STEP_TOKENS), [11, 12, 21, 22, 23]);
    assert.deepEqual(column(STEP_PLACES.STEP_POSITIONS), [300, 301, 5, 6, 7]);
    assert.deepEqual(column(STEP_PLACES.STEP_SETTLED), [300, 300, 5, 5, 5]);
    assert.deepEqual([words[STEP_PLACES.STEP_WANTED], words[STEP_PLACES.STEP_WANTED_ROWS]], [1, 1]);
    const own = partialsAt(300);
    assert.deepEqual(column(STEP_PLACES.STEP_PARTIALS), [0, own, 2 * own, 2 * own + 1, 2 * own + 2]);
    for (const row of [0, 1, 2, 3, 4]) {
      const sequence = row < 2 ? 1 : 2;
      const position = words[STEP_PLACES.STEP_POSITIONS + row] as number;
      const block = Math.floor(position / 16);
      const full = words[STEP_PLACES.STEP_FULL_TABLES + row] as number;
      const window = words[STEP_PLACES.STEP_WINDOW_TABLES + row] as number;
      assert.equal(words[full + block], sequence * 100_000 + block);
      assert.equal(words[window + block], sequence * 100_000 + block + 50_000);
      assert.ok((window + block) * 4 < bytes);
    }
  });

  it('has a draw for each wanted row where one is drawn, and none otherwise', () => {
    const draw = { temperature: 0.7, topP: 0.9, topK: 40, smallestWeight: 2 ** 34, random: 0.123 };
    const lengths = (): number => 4;
    // An odd number of table words: the draws begin at an even one all the same.
    const tables = { full: [1], window: [2, 3], windowFirst: 0 };
    const batch = [
      { sequence: 1, tokens: Int32Array.of(11, 12), logits: 'largest' as const },
      { sequence: 2, tokens: Int32Array.of(13), logits: 'none' as const },
      { sequence: 3, tokens: Int32Array.of(21, 22), logits: 'drawn' as const, draw },
    ];
    const words = new Int32Array(STEP_BYTES / 4).fill(-1);
    const [greedy] = planPasses(batch.slice(0, 2), lengths, () => ({ ...tables }));
    assert.ok(greedy !== undefined);
    writeStep(words, greedy.rows);
    assert.equal(words[STEP_PLACES.STEP_DRAWS], 0);
    const [pass] = planPasses(batch, lengths, () => ({ ...tables }));
    assert.ok(pass !== undefined);
    const bytes = writeStep(words, pass.rows);
    const at = words[STEP_PLACES.STEP_DRAWS] as number;
    assert.equal(at % 2, 0);
    assert.equal(bytes, 4 * (at + 2 * STEP_PLACES.STEP_DRAW_WORDS));
    const numbers = (index: number): number[] => {
      const first = at + index * STEP_PLACES.STEP_DRAW_WORDS;
      return [...new Float64Array(words.buffer, 4 * first, 4), words[first + 8] as number];
    };
    assert.deepEqual(numbers(0), [0, 1, 0, 0, 0]);
    assert.deepEqual(numbers(1), [0.7, 0.9, 0.123, 2 ** 34, 40]);
  });

  it('has what changes the logits of each wanted row behind the draws, and nothing of it where no row has any', () => {
    const sampler = new Sampler(
      { ...GREEDY, repetitionPenalty: 1.5, presencePenalty: 0.25, frequencyPenalty: -1, logitBias: [[9, -7.5]] },
      Int32Array.of(3, 5, 3),
      [5, 9, 9],
    );
    const adjustments = sampler.planAdjustments(1) ?? undefined;
    const mask = Uint32Array.of(0xffffffff, 1);
    const batch = [
      { sequence: 1, tokens: Int32Array.of(11), logits: 'largest' as const, ...(adjustments && { adjustments }) },
      { sequence: 2, tokens: Int32Array.of(12, 13), logits: 'last' as const, mask },
      { sequence: 3, tokens: Int32Array.of(21, 22), logits: 'largest' as const, mask },
    ];
    const tables = { full: [1], window: [2, 3], windowFirst: 0 };
    const words = new Int32Array(STEP_BYTES / 4).fill(-1);
    const write = (): number => {
      const [pass] = planPasses(
        batch,
        () => 0,
        () => ({ ...tables }),
      );
      return writeStep(words, pass?.rows ?? []);
    };
    const { STEP_ADJUSTMENTS, STEP_ADJUSTMENT_WORDS, STEP_MASKS, STEP_MASK_WORDS } = ADJUSTMENT_PLACES;
    const bytes = write();
    const at = words[STEP_ADJUSTMENTS] as number;
    assert.deepEqual([...new Float64Array(words.buffer, 4 * at, 3)], [1.5, 0.25, -1]);
    const entries = words[at + 6] as number;
    assert.deepEqual([...words.subarray(at + 6, at + 9)], [at + 3 * STEP_ADJUSTMENT_WORDS, 3, 1]);
    assert.deepEqual(
      [...words.subarray(at + STEP_ADJUSTMENT_WORDS, entries)],
      Array(2 * STEP_ADJUSTMENT_WORDS).fill(0),
    );
    const biases = new Float64Array(words.slice(entries, entries + 12).buffer);
    assert.deepEqual(
      [0, 1, 2].map((entry) => [
        ...words.subarray(entries + 4 * entry, entries + 4 * entry + 2),
        biases[2 * entry + 1],
      ]),
      [
        [3, 0, 0],
        [5, 1, 0],
        [9, 2, -7.5],
      ],
    );
    const masks = words[STEP_MASKS] as number;
    const bits = masks + 3 * STEP_MASK_WORDS;
    assert.deepEqual([...words.subarray(masks, bits + 2)], [0, 0, 0, 0, bits, 2, -1, 1]);
    assert.equal(bytes, 4 * (bits + 2));

    sampler.took(30);
    write();
    assert.deepEqual([...words.subarray(at + 7, at + 9)], [4, 0], 'the token has become known before it was written');
    batch.splice(0, 3, { sequence: 3, tokens: Int32Array.of(21, 22), logits: 'largest' as const });
    write();
    assert.deepEqual([words[STEP_ADJUSTMENTS], words[STEP_MASKS]], [0, 0]);
  });

  it('has room for the longest list of a row, and cuts a step where those of its rows have no room together', () => {
    const prompt = Int32Array.from({ length: MOST_ADJUSTED_TOKENS }, (_, id) => id);
    const longest = new Sampler({ ...GREEDY, repetitionPenalty: 2 }, prompt).planAdjustments(1) ?? undefined;
    assert.equal(longest?.tokens.size, MOST_ADJUSTED_TOKENS);
    const mask = new Uint32Array(tokenMaskWords(2 ** 18)).fill(7);
    const batch = [1, 2, 3].map((sequence) => ({
      sequence,
      tokens: Int32Array.of(1),
      logits: 'largest' as const,
      mask,
      ...(longest && { adjustments: longest }),
    }));
    const passes = planPasses(
      batch,
      () => 100,
      () => tablesOf(1, 101, 0),
    );
    assert.deepEqual(
      passes.map(({ rows }) => rows.length),
      [1, 1, 1],
    );
    const words = new Int32Array(STEP_BYTES / 4);
    for (const { rows } of passes) assert.ok(writeStep(words, rows) <= STEP_BYTES);
    const masks = Array.from({ length: MOST_VECTOR_ROWS }, (_, sequence) => ({
      sequence,
      tokens: Int32Array.of(1),
      logits: 'largest' as const,
      mask,
    }));
    const table = tablesOf(1, 101, 0);
    const room = planPasses(
      masks,
      () => 100,
      () => ({ ...table }),
    );
    assert.equal(room.length, 4);
    for (const { rows } of room) assert.ok(writeStep(words, rows) <= STEP_BYTES);
  });

  it('cuts a step into passes that have room, every row once and in order', () => {
    const batch = [
      { sequence: 1, tokens: new Int32Array(3 * MOST_VECTOR_ROWS + 7).fill(1), logits: 'all' as const },
      { sequence: 2, tokens: Int32Array.of(2), logits: 'largest' as const },
    ];
    const lengths = new Map([
      [1, 60_000],
      [2, 100],
    ]);
    const passes = planPasses(
      batch,
      (sequence) => lengths.get(sequence) ?? 0,
      (sequence) => tablesOf(sequence, 62_000, 0),
    );
    for (const { kind, rows } of passes) {
      assert.equal(kind, 'vectors');
      assert.ok(rows.length <= MOST_VECTOR_ROWS);
      assert.ok(rows.reduce((sum, { partials }) => sum + partials, 0) <= MOST_PARTIALS);
      assert.ok(writeStep(new Int32Array(STEP_BYTES / 4), rows) <= STEP_BYTES);
    }
    const rows = passes.flatMap((pass) => pass.rows);
    assert.deepEqual(
      rows.map(({ entry, offset, position }) => [entry, offset, position]),
      [...Array(3 * MOST_VECTOR_ROWS + 7).keys()].map((offset) => [0, offset, 60_000 + offset]).concat([[1, 0, 100]]),
    );
    assert.deepEqual(new Set(rows.map(({ wanted }) => wanted)), new Set(['logits', 'token']));
  });
  it('takes entries of many tokens by matrix tiles, whatever is beside them', () => {
    const tokens = (count: number) => new Int32Array(count).fill(1);
    const batch = [
      { sequence: 1, tokens: tokens(FEWEST_TILE_TOKENS - 1), logits: 'none' as const },
      { sequence: 2, tokens: tokens(MOST_ROWS + FEWEST_TILE_TOKENS), logits: 'last' as const },
      { sequence: 3, tokens: tokens(1), logits: 'largest' as const },
      { sequence: 4, tokens: tokens(FEWEST_TILE_TOKENS), logits: 'none' as const },
      { sequence: 5, tokens: tokens(MOST_VECTOR_ROWS + 1), logits: 'none' as const },
    ];
    const tables = new Map(batch.map(({ sequence }) => [sequence, tablesOf(sequence, 4096, 0)]));
    const passes = planPasses(
      batch,
      () => 0,
      (sequence) => tables.get(sequence) ?? tablesOf(0, 0, 0),
      { mostSplitTokens: MOST_VECTOR_ROWS },
    );
    const first = FEWEST_TILE_TOKENS - 1;
    const behind = first + MOST_ROWS + FEWEST_TILE_TOKENS;
    const last = behind + FEWEST_TILE_TOKENS;
    assert.deepEqual(
      passes.map(({ kind, rows }) => [kind, rows.length, rows[0]?.place, rows.at(-1)?.place]),
      [
        ['roundedTiles', MOST_ROWS, first, first + MOST_ROWS - 1],
        ['roundedTiles', FEWEST_TILE_TOKENS + MOST_VECTOR_ROWS + 1, first + MOST_ROWS, last + MOST_VECTOR_ROWS + 1],
        ['splitTiles', FEWEST_TILE_TOKENS, behind + 1, last],
        ['vectors', FEWEST_TILE_TOKENS, 0, behind],
      ],
    );
    const exact = planPasses(
      batch,
      () => 0,
      (sequence) => tables.get(sequence) ?? tablesOf(0, 0, 0),
      { mostSplitTokens: Number.POSITIVE_INFINITY },
    );
    assert.deepEqual(new Set(exact.map(({ kind }) => kind)), new Set(['splitTiles', 'vectors']));
    assert.deepEqual(
      exact.filter(({ kind }) => kind === 'splitTiles').map(({ rows }) => rows.length),
      [MOST_SPLIT_ROWS, MOST_SPLIT_ROWS, 2 * FEWEST_TILE_TOKENS + MOST_VECTOR_ROWS + 1],
    );
  });

  it('computes prompts of different sequences in one pass by matrix tiles, however deep they are', () => {
    const batch = [1, 2, 3].map((sequence) => {
      return { sequence, tokens: new Int32Array(MOST_SPLIT_ROWS / 2).fill(1), logits: 'largest' as const };
    });
    const passes = planPasses(
      batch,
      () => 100_000,
      (sequence) => tablesOf(sequence, 101_000, 0),
      { mostSplitTokens: MOST_SPLIT_ROWS },
    );
    assert.deepEqual(
      passes.map(({ kind, rows }) => [kind, rows.length]),
      [
        ['splitTiles', MOST_SPLIT_ROWS],
        ['splitTiles', MOST_SPLIT_ROWS / 2],
      ],
    );
  });

  it('lists runs: neighbouring rows of one sequence, up to so many', () => {
    const [one, two] = [tablesOf(1, 100, 0), tablesOf(2, 100, 0)];
    const row = (position: number, tables: SequenceTables) =>
      ({ token: 0, position, wanted: 'nothing', partials: 1, tables }) as const;
    const rows = [
      ...[5, 6, 7, 8, 9].map((position) => row(position, one)),
      ...[10, 11].map((position) => row(position, two)),
      row(40, two),
    ];
    const words = new Int32Array(STEP_BYTES / 4);
    const runs = writeRuns(words, rows, 3);
    const listed = [...words.subarray(STEP_PLACES.STEP_RUNS, STEP_PLACES.STEP_RUNS + runs)];
    const factor = STEP_PLACES.STEP_RUN_FACTOR;
    assert.deepEqual(
      listed.map((word) => [word % factor, Math.floor(word / factor)]),
      [
        [0, 3],
        [3, 2],
        [5, 2],
        [7, 1],
      ],
    );
  });
});
