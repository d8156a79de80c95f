/**
 * Reads an answer as harmony: analysis, content for the user, and tool calls.
 */

import { type HarmonyEvent, type HarmonyMessageKind, HarmonyParser, type Tokenizer } from '@switchyard/models';
import type { SampledTokenLogprob } from '../events.ts';
import type { AnswerEvent, AnswerReader } from './reader.ts';
import { StopStringFilter, type StopStrings } from './stop-strings.ts';

/** The functions that an answer may call, and those of them whose arguments are held to a schema. */
export interface CallableTools {
  readonly names: ReadonlySet<string>;
  readonly strict: ReadonlySet<string>;
}

/**
 * Turns the parser's events into the engine's. Markup never becomes text, and stop strings act on what the user reads:
 * final messages and preambles.
 */
export class HarmonyReader implements AnswerReader {
  readonly #tokenizer: Tokenizer;
  readonly #parser: HarmonyParser;
  readonly #stops: StopStrings;
  readonly #calls = new Map<
    number,
    { readonly index: number; readonly id: string; readonly name: string; text: string }
  >();
  /** Types of events of which a message with text has ended: the next one starts on a new line. */
  readonly #ended = new Set<'analysis' | 'content'>();
  readonly #strictTools: ReadonlySet<string>;
  #message = 0;
  #kind: HarmonyMessageKind = 'analysis';
  #filter: StopStringFilter;
  #hasText = false;
  #logprobs: SampledTokenLogprob[] = [];
  #stoppedBy: string | null = null;
  #hasToolCall = false;
  #reasoningTokens = 0;

  /**
   * @param header The prompt's last tokens from `<|start|>` on, which the answer continues; empty for a plain
   * `<|start|>assistant`.
   * @param tools Null where they are not known: any name can be called.
   */
  constructor(tokenizer: Tokenizer, stops: StopStrings, header: Int32Array, tools: CallableTools | null) {
    this.#tokenizer = tokenizer;
    this.#stops = stops;
    this.#filter = new StopStringFilter(stops);
    this.#parser = new HarmonyParser(tokenizer, {
      role: header.length === 0 ? 'assistant' : null,
      ...(tools === null ? {} : { tools: tools.names }),
    });
    this.#strictTools = tools?.strict ?? new Set();
    for (const token of header) for (const event of this.#parser.push(token)) this.#prefix.push(event);
  }

  /** What the header brought: given out before the first token. */
  readonly #prefix: HarmonyEvent[] = [];

  get stoppedBy(): string | null {
    return this.#stoppedBy;
  }

  get hasToolCall(): boolean {
    return this.#hasToolCall;
  }

  get reasoningTokens(): number {
    return this.#reasoningTokens;
  }

  push(token: number, logprobs?: SampledTokenLogprob): AnswerEvent[] {
    if (this.#stoppedBy !== null) return [];
    const kind = this.#parser.current?.kind;
    const isText = !this.#tokenizer.isSpecial(token);
    if (kind === 'analysis' && isText) this.#reasoningTokens++;
    if (logprobs !== undefined && kind !== undefined && isText) this.#logprobs.push(logprobs);
    return this.#read([...this.#prefix.splice(0), ...this.#parser.push(token)]);
  }

  finish(): AnswerEvent[] {
    return this.#stoppedBy === null ? this.#read([...this.#prefix.splice(0), ...this.#parser.finish()]) : [];
  }

  #read(events: readonly HarmonyEvent[]): AnswerEvent[] {
    const out: AnswerEvent[] = [];
    for (const event of events) {
      if (this.#stoppedBy !== null) break;
      if (event.type === 'message-start') this.#start(event, out);
      else if (event.type === 'content') this.#content(event, out);
      else if (event.type === 'message-end') this.#end(event, out);
    }
    return out;
  }

  #start(event: HarmonyEvent & { type: 'message-start' }, out: AnswerEvent[]): void {
    this.#filter = new StopStringFilter(this.#stops);
    this.#message = event.index;
    this.#hasText = false;
    this.#logprobs = [];
    const { header, callId, wholeHeader } = event;
    this.#kind = event.kind;
    if (event.kind !== 'tool-call' || header.recipient === null || callId === null) return;
    if (!wholeHeader && this.#strictTools.has(header.recipient)) {
      // Grammars begin where headers end: these arguments were held to nothing.
      this.#kind = 'analysis';
      return;
    }
    const call = { index: this.#calls.size, id: callId, name: header.recipient, text: '' };
    this.#calls.set(event.index, call);
    out.push({ type: 'tool-call-start', index: call.index, id: call.id, name: call.name });
  }

  #content(event: HarmonyEvent & { type: 'content' }, out: AnswerEvent[]): void {
    const kind = this.#kind;
    if (kind === 'tool-call') {
      const call = this.#calls.get(event.index);
      if (call === undefined) return;
      call.text += event.text;
      out.push({ type: 'tool-call-delta', index: call.index, name: call.name, text: event.text });
    } else if (kind === 'analysis') {
      this.#emit(kind, event.text, out);
    } else if (kind === 'final' || kind === 'preamble') {
      const { text, stoppedBy } = this.#filter.push(event.text);
      this.#emit(kind, text, out);
      this.#stoppedBy = stoppedBy;
    }
  }

  #end(event: HarmonyEvent & { type: 'message-end' }, out: AnswerEvent[]): void {
    const kind = this.#kind;
    if (kind === 'tool-call') {
      const call = this.#calls.get(event.index);
      if (call === undefined) return;
      const complete = event.end !== 'stream';
      if (complete) this.#hasToolCall = true;
      const { index, id, name, text } = call;
      out.push({ type: 'tool-call-end', index, call: { id, name, arguments: text }, complete });
      return;
    }
    if (kind === 'final' || kind === 'preamble') this.#emit(kind, this.#filter.flush(), out);
    if (this.#hasText) this.#ended.add(kind === 'analysis' ? 'analysis' : 'content');
  }

  #emit(kind: 'analysis' | 'final' | 'preamble', text: string, out: AnswerEvent[]): void {
    if (text === '') return;
    const type = kind === 'analysis' ? kind : 'content';
    const separated = !this.#hasText && this.#ended.has(type);
    this.#hasText = true;
    const piece = {
      text: separated ? `\n${text}` : text,
      message: this.#message,
      ...(separated ? { separator: '\n' as const } : {}),
      ...(this.#logprobs.length > 0 ? { logprobs: this.#logprobs } : {}),
    };
    this.#logprobs = [];
    if (type === 'analysis') out.push({ type, ...piece });
    else out.push({ type, channel: kind === 'final' ? 'final' : 'commentary', ...piece });
  }
}
