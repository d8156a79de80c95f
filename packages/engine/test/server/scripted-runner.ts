/**
 * A runner module whose "model" says what the prompt tells it to say, so that tests choose every token of an answer:
 *
 * - `SCRIPT hex`: the UTF-8 text behind the hexadecimal digits, special tokens in it being special;
 * - `IDS 1,2,3`: these token ids;
 * - `SLOW`: 5 ms a step; `STUCK`: steps never end; `FAIL`: steps throw; `EXIT`: the worker's thread ends.
 *
 * After the script comes `<|return|>`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { harmonyTokens, type Tokenizer } from '@switchyard/models';
import type { ModelRunner, SequenceOutput, SequenceStep } from '../../src/runner.ts';
import type { RunnerModuleOptions } from '../../src/runner-module.ts';

/** Options that travel as `runnerOptions`. */
export interface ScriptedRunnerOptions {
  /** Milliseconds that loading takes. */
  readonly loadMs?: number;
}

interface Sequence {
  tokens: number[];
  answered: number;
  script: readonly number[] | null;
}

function last(text: string, pattern: RegExp): string | null {
  return [...text.matchAll(pattern)].at(-1)?.[1] ?? null;
}

function scriptOf(prompt: string, tokenizer: Tokenizer): number[] {
  const ids = last(prompt, /IDS ([\d,]*)/g);
  if (ids !== null) return ids.split(',').filter(Boolean).map(Number);
  const hex = last(prompt, /SCRIPT ([\da-f]*)/g);
  return tokenizer.encodeWithSpecialTokens(Buffer.from(hex ?? '', 'hex').toString('utf8'));
}

export async function createRunner({ snapshot, runnerOptions }: RunnerModuleOptions): Promise<ModelRunner> {
  const { tokenizer, config } = snapshot;
  const { loadMs = 0 } = (runnerOptions ?? {}) as ScriptedRunnerOptions;
  await delay(loadMs);
  const end = harmonyTokens(tokenizer).return;
  const sequences = new Map<number, Sequence>();
  let next = 0;
  const of = (sequence: number): Sequence => {
    const found = sequences.get(sequence);
    if (found === undefined) throw new RangeError(`no sequence ${sequence}`);
    return found;
  };
  const advance = async ({ sequence, tokens, logits = 'last' }: SequenceStep): Promise<SequenceOutput> => {
    const state = of(sequence);
    state.tokens.push(...tokens);
    if (logits === 'none') return { logits: new Float32Array(0) };
    const rows = logits === 'all' ? tokens.length : 1;
    const scores = new Float32Array(rows * config.vocabularySize);
    if (logits === 'last') {
      const text = state.script === null ? tokenizer.decode(state.tokens) : '';
      state.script ??= scriptOf(text, tokenizer);
      scores[state.script[state.answered] ?? end] = 50;
      state.answered += 1;
    }
    return { logits: scores };
  };
  return {
    name: 'scripted',
    vocabularySize: config.vocabularySize,
    contextLength: config.contextLength,
    memory: { weightBytes: 0, kvBytesPerToken: 1024, kvBytes: (tokens) => 1024 * tokens },
    router: { backend: 'cpu', device: 'none' },
    onRouting: null,
    timings: { steps: 0, compute: 0, router: 0, overhead: 0 },
    createSequence: () => {
      sequences.set(next, { tokens: [], answered: 0, script: null });
      return next++;
    },
    forkSequence: (sequence, length) => {
      sequences.set(next, { tokens: of(sequence).tokens.slice(0, length), answered: 0, script: null });
      return next++;
    },
    length: (sequence) => of(sequence).tokens.length,
    releaseSequence: (sequence) => {
      sequences.delete(sequence);
    },
    forward: async (batch) => {
      const outputs: SequenceOutput[] = [];
      for (const step of batch) {
        const text = tokenizer.decode([...of(step.sequence).tokens, ...step.tokens]);
        if (text.includes('EXIT')) process.exit(7);
        if (text.includes('FAIL')) throw new Error('the script says so');
        if (text.includes('STUCK')) await new Promise(() => undefined);
        if (text.includes('SLOW')) await delay(5);
        outputs.push(await advance(step));
      }
      return outputs;
    },
    dispose: async () => sequences.clear(),
    [Symbol.asyncDispose]: async () => sequences.clear(),
  };
}
