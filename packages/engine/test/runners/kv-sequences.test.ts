import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KvCacheFullError } from '../../src/runners/errors.ts';
import { BLOCK_POSITIONS, KvSequences, blocksOfSequence } from '../../src/runners/kv-sequences.ts';

const KINDS = { fullLayers: 3, windowLayers: 3, window: 40 };

/** What a test writes into blocks: for each block and position, whose token stands there. */
class WrittenBlocks {
  readonly #rows = new Map<string, string>();

  copy(from: number, to: number): void {
    for (let position = 0; position < BLOCK_POSITIONS; position++) {
      const row = this.#rows.get(`${from} ${position}`);
      if (row !== undefined) this.#rows.set(`${to} ${position}`, row);
    }
  }

  write(block: number, position: number, token: string): void {
    this.#rows.set(`${block} ${position % BLOCK_POSITIONS}`, token);
  }

  read(block: number, position: number): string | undefined {
    return this.#rows.get(`${block} ${position % BLOCK_POSITIONS}`);
  }
}

/** Sequences whose tokens are known, over blocks that are written as the kernels would. */
class Model {
  readonly sequences: KvSequences;
  readonly tokens = new Map<number, string[]>();
  readonly #blocks = new WrittenBlocks();
  #next = 0;

  constructor(blocks: number) {
    this.sequences = new KvSequences(KINDS, blocks);
  }

  append(number: number, more: number): void {
    const { full, window, windowFirst } = this.sequences.tables(number);
    this.sequences.reserve([{ sequence: number, more }], (from, to) => this.#blocks.copy(from, to));
    const held = this.tokens.get(number) ?? [];
    for (let index = 0; index < more; index++) {
      const position = held.length;
      const block = Math.floor(position / BLOCK_POSITIONS);
      const token = `${this.#next++}`;
      this.#blocks.write(full[block] ?? -1, position, `full ${token}`);
      this.#blocks.write(window[block - windowFirst] ?? -1, position, `window ${token}`);
      held.push(token);
    }
    this.sequences.commit(number, more);
    this.tokens.set(number, held);
  }

  /** Every position that the next token sees holds the sequence's own token. */
  check(number: number): void {
    const held = this.tokens.get(number) ?? [];
    assert.equal(this.sequences.length(number), held.length);
    const { full, window, windowFirst } = this.sequences.tables(number);
    for (const [position, token] of held.entries()) {
      const block = Math.floor(position / BLOCK_POSITIONS);
      assert.equal(this.#blocks.read(full[block] ?? -1, position), `full ${token}`);
      if (position <= held.length - KINDS.window) continue;
      assert.equal(this.#blocks.read(window[block - windowFirst] ?? -1, position), `window ${token}`);
    }
  }
}

describe('KV blocks of sequences', () => {
  it('hold what was appended, however sequences are forked, cut back and released', () => {
    const steps = fc.array(fc.tuple(fc.nat(3), fc.nat(1000), fc.nat(1000)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (actions) => {
        const model = new Model(400);
        const open: number[] = [];
        for (const [action, first, second] of actions) {
          const number = open[first % Math.max(open.length, 1)];
          if (action === 0 || number === undefined) {
            const made = model.sequences.create();
            model.tokens.set(made, []);
            open.push(made);
          } else if (action === 1) {
            if (model.sequences.freeBlocks > 20) model.append(number, 1 + (second % 50));
          } else {
            const held = model.tokens.get(number) ?? [];
            const length = second % (held.length + 1);
            if (action === 2) {
              const copy = model.sequences.fork(number, length);
              if (copy !== null) {
                model.tokens.set(copy, held.slice(0, length));
                open.push(copy);
              } else assert.ok(length < held.length);
            } else if (model.sequences.truncate(number, length)) model.tokens.set(number, held.slice(0, length));
          }
          for (const each of open) model.check(each);
        }
        for (const each of open) model.sequences.release(each);
        assert.equal(model.sequences.freeBlocks, 400, 'every block is free at the end');
      }),
      { numRuns: 60 },
    );
  });

  it('take as many blocks as the plan says', () => {
    for (const tokens of [1, 15, 16, 17, 39, 40, 41, 200, 1000]) {
      const model = new Model(400);
      const number = model.sequences.create();
      for (let done = 0; done < tokens; done++) model.append(number, 1);
      const used = 400 - model.sequences.freeBlocks;
      assert.ok(used <= blocksOfSequence(KINDS, tokens), `${used} blocks for ${tokens} tokens`);
    }
  });

  it('are refused where none are left, and then nothing has changed', () => {
    const model = new Model(6);
    const [first, second] = [model.sequences.create(), model.sequences.create()];
    model.append(first, 32);
    const wanted = [
      { sequence: second, more: 16 },
      { sequence: first, more: 16 },
    ];
    assert.throws(() => model.sequences.reserve(wanted, () => {}), KvCacheFullError);
    assert.equal(model.sequences.freeBlocks, 2);
    model.check(first);
    model.append(second, 16);
    model.check(second);
  });

  it('stay shared where a copy fails', () => {
    const model = new Model(20);
    const source = model.sequences.create();
    model.append(source, 20);
    const copy = model.sequences.fork(source, 20);
    assert.ok(copy !== null);
    model.tokens.set(copy, [...(model.tokens.get(source) ?? [])]);
    const free = model.sequences.freeBlocks;
    const fail = (): never => {
      throw new RangeError('the device is lost');
    };
    assert.throws(() => model.sequences.reserve([{ sequence: copy, more: 1 }], fail), /the device is lost/);
    assert.equal(model.sequences.freeBlocks, free);
    model.append(copy, 3);
    model.append(source, 1);
    model.check(copy);
    model.check(source);
  });
});
