/**
 * A runner module whose "model" says what the prompt tells it to say, so that tests choose every token of an answer:
 *
 * - `SCRIPT hex`: the UTF-8 text behind the hexadecimal digits, special tokens in it being special;
 * - `IDS 1,2,3`: these token ids;
 * - `REPEAT n`: the last token of these, n times more;
 * - `ECHO PROMPT`: the prompt's own text, in hexadecimal digits, as the final message; `ECHO PROMPT AS JSON`: as `{"prompt":"…"}`;
 * - `SLOW`: 5 ms a step; `STUCK`: steps never end; `FAIL`: steps throw; `EXIT`: the worker's thread ends.
 *
 * After the script comes `<|return|>`.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { harmonyTokens, type Tokenizer } from '@switchyard/models';
import type { LogitsRunner, LogitsOutput, LogitsStep } from '../../src/runners/logits-runner.ts';
import type { RunnerModuleOptions } from '../../src/runners/runner-module.ts';

/** Options that travel as `runnerOptions`. */
export interface ScriptedRunnerOptions {
  /** Milliseconds that loading takes. */
  readonly loadMs?: number;
}

interface Sequence {
  tokens: number[];
  answered: number;
  /** What the prompt says, once it is whole; null before. */
  prompt: { readonly text: string; readonly script: readonly number[] } | null;
}

function last(text: string, pattern: RegExp): string | null {
  return [...text.matchAll(pattern)].at(-1)?.[1] ?? null;
}

function scriptOf(prompt: string, tokenizer: Tokenizer): number[] {
  if (prompt.includes('ECHO PROMPT')) {
    const digits = Buffer.from(prompt, 'utf8').toString('hex');
    const answer = prompt.includes('ECHO PROMPT AS JSON') ? `{"prompt":"${digits}"}` : digits;
    return tokenizer.encodeWithSpecialTokens(`<|channel|>final<|message|>${answer}`);
  }
  const ids = last(prompt, /IDS ([\d,]*)/g);
  const hex = last(prompt, /SCRIPT ([\da-f]*)/g);
  const script =
    ids === null
      ? tokenizer.encodeWithSpecialTokens(Buffer.from(hex ?? '', 'hex').toString('utf8'))
      : ids.split(',').filter(Boolean).map(Number);
  const repeated = script.at(-1);
  const times = Number(last(prompt, /REPEAT (\d+)/g) ?? 0);
  return repeated === undefined ? script : [...script, ...Array.from({ length: times }, () => repeated)];
}

const endsWith = (tokens: readonly number[], script: readonly number[], length: number): boolean => {
  for (let i = 0; i < length; i += 1) if (tokens[tokens.length - length + i] !== script[i]) return false;
  return true;
};

/** How much of the script the tokens end with: a request that lost its memory goes on where it was. */
function answeredOf(tokens: readonly number[], script: readonly number[]): number {
  for (let length = Math.min(script.length, tokens.length); length > 0; length -= 1) {
    if (endsWith(tokens, script, length)) return length;
  }
  return 0;
}

export async function createRunner({ snapshot, runnerOptions }: RunnerModuleOptions): Promise<LogitsRunner> {
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
  const advance = async ({ sequence, tokens, logits = 'last' }: LogitsStep): Promise<LogitsOutput> => {
    const state = of(sequence);
    state.tokens.push(...tokens);
    if (logits === 'none') return { logits: new Float32Array(0) };
    const rows = logits === 'all' ? tokens.length : 1;
    const scores = new Float32Array(rows * config.vocabularySize);
    if (logits === 'last') {
      if (state.prompt === null) {
        const text = tokenizer.decode(state.tokens);
        const script = scriptOf(text, tokenizer);
        state.prompt = { text, script };
        state.answered = answeredOf(state.tokens, script);
      }
      scores[state.prompt.script[state.answered] ?? end] = 50;
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
    timings: { steps: 0, compute: 0, experts: 0, router: 0, overhead: 0 },
    createSequence: () => {
      sequences.set(next, { tokens: [], answered: 0, prompt: null });
      return next++;
    },
    forkSequence: (sequence, length) => {
      sequences.set(next, { tokens: of(sequence).tokens.slice(0, length), answered: 0, prompt: null });
      return next++;
    },
    truncate: (sequence, length) => {
      of(sequence).tokens.length = length;
      return true;
    },
    length: (sequence) => of(sequence).tokens.length,
    releaseSequence: (sequence) => {
      sequences.delete(sequence);
    },
    forward: async (batch) => {
      const outputs: LogitsOutput[] = [];
      for (const step of batch) {
        const { tokens, prompt } = of(step.sequence);
        const text = prompt?.text ?? tokenizer.decode([...tokens, ...step.tokens]);
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
