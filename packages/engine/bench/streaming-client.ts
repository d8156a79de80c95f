/** A client that streams one answer over `node:http`, cheap enough to leave the machine to the server. */

import { type Agent, request } from 'node:http';

/** One streamed answer. */
export interface StreamedAnswer {
  /** Analysis and content, in the order they came. */
  readonly text: string;
  readonly tokens: number;
  /** Milliseconds to the first text. */
  readonly firstText: number;
  /** When text came, in milliseconds by `performance.now()`: one time for all that came at once. */
  readonly arrivals: readonly number[];
}

interface Chunk {
  readonly choices: readonly {
    readonly text?: string;
    readonly delta?: { readonly content?: string; readonly reasoning?: string };
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string };
}

const DATA = 'data: ';
const DONE = 'data: [DONE]';

/** Asks one question, greedy, and reads the stream to its end. @throws Error for any status but 200, error events and cut streams */
export function streamAnswer(url: string, agent: Agent, question: string): Promise<StreamedAnswer> {
  return streamRequest(`${url}/v1/chat/completions`, agent, { messages: [{ role: 'user', content: question }] });
}

/**
 * Continues token ids by exactly so many tokens, greedy; with a seed, so that company changes no bit of the logits.
 *
 * @throws what streamAnswer throws
 */
export function streamContinuation(
  url: string,
  agent: Agent,
  prompt: readonly number[],
  tokens: number,
): Promise<StreamedAnswer> {
  return streamRequest(`${url}/v1/completions`, agent, { prompt, max_tokens: tokens, ignore_eos: true, seed: 0 });
}

function streamRequest(
  endpoint: string,
  agent: Agent,
  fields: Readonly<Record<string, unknown>>,
): Promise<StreamedAnswer> {
  const body = JSON.stringify({ ...fields, temperature: 0, stream: true, stream_options: { include_usage: true } });
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const call = request(endpoint, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    call.on('error', reject);
    call.on('response', (response) => {
      const answer = { text: '', tokens: 0, firstText: 0, arrivals: [] as number[] };
      let rest = '';
      let done = false;
      const read = (line: string): void => {
        if (line === DONE) done = true;
        if (line === DONE || !line.startsWith(DATA)) return;
        const chunk = JSON.parse(line.slice(DATA.length)) as Chunk;
        if (chunk.error !== undefined) throw new Error(chunk.error.message);
        const [choice] = chunk.choices;
        const text = (choice?.delta?.reasoning ?? '') + (choice?.delta?.content ?? '') + (choice?.text ?? '');
        answer.text += text;
        answer.tokens = chunk.usage?.completion_tokens ?? answer.tokens;
      };
      response.setEncoding('utf8');
      response.on('data', (data: string) => {
        const lines = (rest + data).split('\n');
        rest = lines.pop() ?? '';
        try {
          const { length } = answer.text;
          lines.forEach(read);
          if (answer.text.length === length) return;
          const now = performance.now();
          if (length === 0) answer.firstText = now - started;
          answer.arrivals.push(now);
        } catch (error) {
          response.destroy(error instanceof Error ? error : new Error(String(error)));
        }
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200 && done) resolve(answer);
        else reject(new Error(`status ${response.statusCode}, ${done ? 'whole' : 'cut'} stream`));
      });
    });
    call.end(body);
  });
}
