/**
 * A runner module whose logits are a hash of the sequence's tokens: its answers are what no trained model writes, broken
 * characters and headers among them. Where the model has more logits than tokens, ids without a token are the likeliest.
 */

import { harmonyTokens } from '@switchyard/models';
import type { LogitsRunner, LogitsOutput } from '../../src/runners/logits-runner.ts';
import type { RunnerModuleOptions } from '../../src/runners/runner-module.ts';

const PADDING_BONUS = 50;
const MARKER_BONUS = 40;
const KV_BYTES_PER_TOKEN = 1024;

/** Short, so that answers of any length end. */
const CONTEXT_LENGTH = 512;

function hashOf(tokens: readonly number[]): number {
  let hash = tokens.length;
  // The last few: enough for answers that go on differently, and quick.
  for (const token of tokens.slice(-4)) hash = (Math.imul(hash, 0x01000193) ^ token) | 0;
  return hash;
}

export function createRunner({ snapshot: { config, tokenizer } }: RunnerModuleOptions): Promise<LogitsRunner> {
  const { vocabularySize } = config;
  const { channel, message, end, call, constrain, start, return: over } = harmonyTokens(tokenizer);
  const markers = [channel, message, end, call, constrain, start, over, message, end, over];
  const sequences = new Map<number, number[]>();
  let next = 0;
  const of = (sequence: number): number[] => {
    const tokens = sequences.get(sequence);
    if (tokens === undefined) throw new RangeError(`no sequence ${sequence}`);
    return tokens;
  };
  const write = (row: Float32Array, tokens: readonly number[]): void => {
    let state = hashOf(tokens);
    for (let id = 0; id < row.length; id += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      row[id] = (state >>> 8) / 2 ** 21;
    }
    for (let id = tokenizer.vocabularySize; id < row.length; id += 1) row[id] = (row[id] ?? 0) + PADDING_BONUS;
    // Every third token may be a marker: then there are messages.
    const marker = markers[(state >>> 16) % (3 * markers.length)];
    if (marker !== undefined) row[marker] = (row[marker] ?? 0) + MARKER_BONUS;
  };
  const clear = (): Promise<void> => {
    sequences.clear();
    return Promise.resolve();
  };
  return Promise.resolve({
    name: 'random',
    vocabularySize,
    contextLength: CONTEXT_LENGTH,
    memory: {
      weightBytes: 0,
      kvBytesPerToken: KV_BYTES_PER_TOKEN,
      kvBytes: (tokens) => KV_BYTES_PER_TOKEN * tokens,
    },
    router: { backend: 'cpu', device: 'none' },
    onRouting: null,
    timings: { steps: 0, compute: 0, experts: 0, router: 0, overhead: 0 },
    createSequence: () => {
      sequences.set(next, []);
      return next++;
    },
    forkSequence: (sequence, length) => {
      sequences.set(next, of(sequence).slice(0, length));
      return next++;
    },
    truncate: (sequence, length) => {
      of(sequence).length = length;
      return true;
    },
    length: (sequence) => of(sequence).length,
    releaseSequence: (sequence) => {
      sequences.delete(sequence);
    },
    forward: (batch) =>
      Promise.resolve(
        batch.map(({ sequence, tokens, logits = 'last' }): LogitsOutput => {
          const all = of(sequence);
          const rows = logits === 'all' ? tokens.length : logits === 'last' ? 1 : 0;
          const output = new Float32Array(rows * vocabularySize);
          for (const [position, token] of tokens.entries()) {
            all.push(token);
            const row = position - (tokens.length - rows);
            if (row >= 0) write(output.subarray(row * vocabularySize, (row + 1) * vocabularySize), all);
          }
          return { logits: output };
        }),
      ),
    dispose: clear,
    [Symbol.asyncDispose]: clear,
  });
}
