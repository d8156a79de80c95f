import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KvCache } from '../../../src/runners/ort/kv-cache.ts';

const WINDOW = 80;
const HEADS = 2;
const HEAD_DIM = 2;
const shape = { layerTypes: ['sliding', 'full'] as const, keyValueHeads: HEADS, headDim: HEAD_DIM, window: WINDOW };

/** The sequences as plain lists of tokens: what the cache must hold. */
type Model = Map<number, number[]>;

/** A number that says which layer, kind, head and element a token's row belongs to. */
function element(token: number, layer: number, kind: number, head: number, index: number): number {
  return Math.fround(token + layer * 0.5 + kind * 0.25 + head * 0.125 + index * 0.0625);
}

describe('KV cache', () => {
  it('holds what was appended through growth, moves, forks and windows', () => {
    let nextToken = 1;
    const operation = fc.oneof(
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('create' as const) }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('prefill' as const),
          pick: fc.nat(),
          count: fc.integer({ min: 1, max: 300 }),
        }),
      },
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('decode' as const),
          skip: fc.nat(6),
          rounds: fc.integer({ min: 1, max: 60 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('fork' as const), pick: fc.nat(), back: fc.nat(150) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('truncate' as const), pick: fc.nat(), back: fc.nat(150) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat() }) },
    );
    fc.assert(
      fc.property(fc.array(operation, { minLength: 5, maxLength: 25 }), (operations) => {
        const cache = new KvCache(shape);
        const model: Model = new Map();
        const at = (pick: number): number | undefined => [...model.keys()][pick % Math.max(1, model.size)];
        for (const step of operations) {
          const picked = 'pick' in step ? at(step.pick) : undefined;
          if (step.kind === 'create') {
            model.set(cache.create(), []);
          } else if (step.kind === 'decode') {
            for (let round = 0; round < step.rounds; round++) {
              decodeOnce(cache, model, step.skip, () => nextToken++);
            }
          } else if (picked === undefined) {
            continue;
          } else if (step.kind === 'prefill') {
            append(cache, model, [picked], step.count, () => nextToken++);
          } else if (step.kind === 'release') {
            cache.release(picked);
            model.delete(picked);
          } else if (step.kind === 'truncate') {
            truncate(cache, model, picked, step.back);
          } else {
            fork(cache, model, picked, step.back);
          }
        }
        for (const [sequence, tokens] of model) {
          assert.equal(cache.length(sequence), tokens.length);
          check(cache, model, [sequence]);
        }
        nextToken = 1;
      }),
      { numRuns: 60 },
    );
  });

  it('counts bytes by rounded capacity, windows considered', () => {
    const cache = new KvCache({ ...shape, window: 128 });
    const row = HEADS * HEAD_DIM * 2 * 4;
    assert.equal(cache.bytes(1), (128 + 128) * row);
    assert.equal(cache.bytes(1000), (256 + 1024) * row);
  });
});

function decodeOnce(cache: KvCache, model: Model, skip: number, token: () => number): void {
  const groups = new Map<number, number[]>();
  [...model.keys()].forEach((sequence, index) => {
    if (index % 7 !== skip) {
      const capacity = cache.capacityFor(sequence, 1);
      groups.set(capacity, [...(groups.get(capacity) ?? []), sequence]);
    }
  });
  for (const members of groups.values()) {
    append(cache, model, members, 1, token);
  }
}

function append(cache: KvCache, model: Model, members: readonly number[], count: number, token: () => number): void {
  check(cache, model, members);
  const view = cache.view(members, count);
  const added = view.order.map(() => Array.from({ length: count }, token));
  const rows = (layer: number, kind: number): Float32Array => {
    const values = added
      .flat()
      .flatMap((value) =>
        Array.from({ length: HEADS * HEAD_DIM }, (_, index) =>
          element(value, layer, kind, Math.floor(index / HEAD_DIM), index % HEAD_DIM),
        ),
      );
    return Float32Array.from(values);
  };
  view.append([0, 1].map((layer) => ({ key: rows(layer, 0), value: rows(layer, 1), stride: HEADS * HEAD_DIM })));
  view.order.forEach((index, row) => model.get(members[index] as number)?.push(...(added[row] ?? [])));
}

function fork(cache: KvCache, model: Model, source: number, back: number): void {
  const tokens = model.get(source) ?? [];
  const length = Math.max(0, tokens.length - back);
  const copy = cache.fork(source, length);
  // Never at the end: what the next token sees is there.
  if (copy === null) assert.ok(length < tokens.length && length > 0);
  else model.set(copy, tokens.slice(0, length));
}

function truncate(cache: KvCache, model: Model, source: number, back: number): void {
  const tokens = model.get(source) ?? [];
  const length = Math.max(0, tokens.length - back);
  if (cache.truncate(source, length)) model.set(source, tokens.slice(0, length));
  else assert.ok(length < tokens.length && length > 0);
}

/** Every row that the next token may see is there. */
function check(cache: KvCache, model: Model, members: readonly number[]): void {
  const view = cache.view(members, 1);
  view.order.forEach((index, batch) => {
    const tokens = model.get(members[index] as number) ?? [];
    shape.layerTypes.forEach((type, layer) => {
      const count = view.rows(type)[batch] as number;
      assert.ok(count >= (type === 'full' ? tokens.length : Math.min(tokens.length, WINDOW - 1)));
      const past = view.past(layer);
      const capacity = past.shape[2] as number;
      assert.ok(count <= capacity);
      tokens.slice(tokens.length - count).forEach((token, row) => {
        for (let head = 0; head < HEADS; head++) {
          for (let item = 0; item < HEAD_DIM; item++) {
            const place = ((batch * HEADS + head) * capacity + row) * HEAD_DIM + item;
            assert.equal(past.key[place], element(token, layer, 0, head, item));
            assert.equal(past.value[place], element(token, layer, 1, head, item));
          }
        }
      });
    });
  });
}
