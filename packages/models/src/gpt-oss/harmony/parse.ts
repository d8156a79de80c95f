/**
 * Token ids to messages, one id at a time.
 *
 * A marker is a marker only as a token: text that spells one is text. Content comes out as soon as its bytes are whole
 * characters. The parser survives whatever a model writes, and what cannot be read as harmony is reported as a fault,
 * unless `strict` asks for an error.
 */

import { randomUUID } from 'node:crypto';
import { TextDecoder } from 'node:util';
import { type HarmonyFault, HarmonyParseError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { type HeaderSection, type ReadHeader, readHeader } from './header.ts';
import type { HarmonyEvent, HarmonyMessageEnd, HarmonyParserOptions, ParsedHarmonyMessage } from './parser-events.ts';
import { type HarmonyTokens, harmonyTokens } from './special-tokens.ts';
import { NO_ARGUMENTS } from './tool-name.ts';
import type { HarmonyAnswer, HarmonyHeader, HarmonyMessageKind } from './types.ts';

/** Bytes and markers of a header after which a missing `<|message|>` is taken for granted. Valid headers have about 100. */
export const LONGEST_HARMONY_HEADER = 512;

/** What ends the last message of an answer. `<|call|>` ends one too, but nobody is shown what was meant for a tool. */
const ENDS_OF_ANSWERS: ReadonlySet<HarmonyMessageEnd> = new Set(['return', 'end-of-text', 'stream']);

interface OpenHeader {
  /** The role, where the header need not name it. */
  readonly role: 'assistant' | null;
  readonly sections: { marker: HeaderSection['marker']; bytes: number[] }[];
  length: number;
}

interface OpenMessage {
  kind: HarmonyMessageKind;
  /** Whether its events come as it grows. Of an answer under a faulty header, only the end tells whether it is one. */
  readonly told: boolean;
  readonly header: HarmonyHeader;
  readonly wholeHeader: boolean;
  readonly callId: string | null;
  content: string;
  end: HarmonyMessageEnd | null;
}

/** A streaming parser for one answer or one prompt. */
export class HarmonyParser {
  readonly #tokenizer: Tokenizer;
  readonly #tokens: HarmonyTokens;
  readonly #strict: boolean;
  readonly #newCallId: () => string;
  readonly #tools: ReadonlySet<string> | null;
  readonly #messages: OpenMessage[] = [];
  #header: OpenHeader | null;
  #message: OpenMessage | null = null;
  #decoder = newDecoder();
  #events: HarmonyEvent[] = [];
  #tokenCount = 0;

  /** Throws MissingSpecialTokenError if the vocabulary is not harmony's. */
  constructor(tokenizer: Tokenizer, options: HarmonyParserOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#tokens = harmonyTokens(tokenizer);
    this.#strict = options.strict ?? false;
    this.#tools = options.tools ?? null;
    this.#newCallId = options.newCallId ?? (() => `call_${randomUUID().replaceAll('-', '')}`);
    this.#header = options.role === null ? null : newHeader('assistant');
  }

  /** The messages so far; the last one may still go on. */
  get messages(): readonly ParsedHarmonyMessage[] {
    return this.#messages;
  }

  /** The message whose content is being read, or null inside headers, between messages, and while its kind is not known. */
  get current(): ParsedHarmonyMessage | null {
    return this.#message?.told === true ? this.#message : null;
  }

  /** Whether the next token is part of a header: the only place where a header's grammar may constrain sampling. */
  get inHeader(): boolean {
    return this.#header !== null;
  }

  /**
   * Takes the next token. Returns what it brought about, often nothing.
   *
   * @throws HarmonyParseError in strict mode.
   */
  push(id: number): HarmonyEvent[] {
    if (this.#message !== null) this.#pushContent(this.#message, id);
    else if (this.#header !== null) this.#pushHeader(this.#header, id);
    else this.#pushBetween(id);
    this.#tokenCount += 1;
    return this.#takeEvents();
  }

  /** The stream is over: closes what is open. A call whose header is cut short is dropped. Throws in strict mode as push does. */
  finish(): HarmonyEvent[] {
    if (this.#message !== null) this.#endMessage(this.#message, 'stream');
    else if (this.#header !== null) this.#endUnfinishedHeader(this.#header, 'stream');
    return this.#takeEvents();
  }

  /** What the assistant has said so far, put together. Prompt messages are not part of it. */
  answer(): HarmonyAnswer {
    // A message without a word is no line of its own.
    const contents = (kind: HarmonyMessageKind): string[] =>
      this.#messages.flatMap((message) => (message.kind === kind && message.content !== '' ? [message.content] : []));
    const last = this.#messages.at(-1);
    return {
      analysis: contents('analysis').join('\n'),
      preambles: contents('preamble'),
      final: contents('final').join('\n'),
      toolCalls: this.#messages.flatMap(({ kind, header, callId, content }) =>
        kind === 'tool-call' && header.recipient !== null && callId !== null
          ? [{ id: callId, name: header.recipient, arguments: content }]
          : [],
      ),
      unfinished: last !== undefined && (last.end === null || last.end === 'stream') ? last.kind : null,
    };
  }

  #pushBetween(id: number): void {
    const { start, channel, constrain, message } = this.#tokens;
    if (id === start) {
      this.#header = newHeader(null);
    } else if (id === channel || id === constrain || id === message) {
      this.#fault('marker-out-of-place', id);
      this.#header = newHeader('assistant');
      this.#pushHeader(this.#header, id);
    } else if (this.#isNoText(id)) {
      this.#fault('marker-out-of-place', id);
    } else {
      this.#fault('text-outside-message', id);
      this.#header = newHeader('assistant');
      this.#pushHeader(this.#header, id);
    }
  }

  #pushHeader(header: OpenHeader, id: number): void {
    const { start, channel, constrain, message } = this.#tokens;
    const end = this.#endOf(id);
    if (id === message) {
      const read = readHeader(textOf(header), header.role, true, this.#tools);
      for (const { fault, found } of read.faults) this.#fault(fault, found);
      this.#startMessage(read, true);
    } else if (id === channel || id === constrain) {
      header.sections.push({ marker: id === channel ? 'channel' : 'constrain', bytes: [] });
      header.length += 1;
      if (header.length > LONGEST_HARMONY_HEADER) this.#overflowHeader(header);
    } else if (id === start) {
      this.#fault('missing-message-token', id);
      this.#endUnfinishedHeader(header, 'next-message');
      this.#header = newHeader(null);
    } else if (end !== null) {
      this.#fault('missing-message-token', id);
      this.#endUnfinishedHeader(header, end);
    } else if (this.#isNoText(id)) {
      this.#fault('marker-out-of-place', id);
    } else {
      const bytes = this.#tokenizer.tokenBytes(id);
      for (const byte of bytes) header.sections.at(-1)?.bytes.push(byte);
      header.length += bytes.length;
      if (header.length > LONGEST_HARMONY_HEADER) this.#overflowHeader(header);
    }
  }

  #pushContent(message: OpenMessage, id: number): void {
    const { start, channel } = this.#tokens;
    const end = this.#endOf(id);
    if (end !== null) {
      this.#endMessage(message, end);
    } else if (id === start || id === channel) {
      this.#fault('marker-out-of-place', id);
      this.#endMessage(message, 'next-message');
      this.#header = newHeader(id === start ? null : 'assistant');
      if (id === channel) this.#pushHeader(this.#header, id);
    } else if (this.#isNoText(id)) {
      this.#fault('marker-out-of-place', id);
    } else {
      this.#appendContent(message, this.#decoder.decode(this.#tokenizer.tokenBytes(id), { stream: true }));
    }
  }

  /** Special tokens, and ids that a model with a padded vocabulary has beyond its tokenizer's. */
  #isNoText(id: number): boolean {
    return this.#isUnknown(id) || this.#tokenizer.isSpecial(id);
  }

  #isUnknown(id: number): boolean {
    return !(Number.isInteger(id) && id >= 0 && id < this.#tokenizer.vocabularySize);
  }

  #endOf(id: number): HarmonyMessageEnd | null {
    if (id === this.#tokens.end) return 'end';
    if (id === this.#tokens.return) return 'return';
    if (id === this.#tokens.call) return 'call';
    return id === this.#tokens.endOfText ? 'end-of-text' : null;
  }

  /** Makes a message of a header that no `<|message|>` ended, if it holds content or a whole call. */
  #endUnfinishedHeader(header: OpenHeader, end: HarmonyMessageEnd): void {
    this.#header = null;
    if (header.length === 0) return;
    // A prompt ends in the middle of a header: <|start|>assistant.
    if (end === 'stream' && header.role === null && header.sections.length === 1) return;
    const read = readHeader(textOf(header), header.role, false, this.#tools);
    const { kind, addressed, rest, faults } = read;
    if (end === 'stream') this.#fault('unfinished-header', rest);
    for (const { fault, found } of faults) this.#fault(fault, found);
    // At the end of the stream the header itself may be cut short: `js` may be no argument but half of `json`.
    if (addressed ? end === 'stream' || (rest === '' && end !== 'call') : rest === '') return;
    const lost = kind === 'tool-call' && end === 'next-message';
    const message = this.#startMessage(lost ? { ...read, kind: 'analysis' } : read, false);
    this.#appendContent(message, rest);
    this.#endMessage(message, end);
  }

  #overflowHeader(header: OpenHeader): void {
    const sections = textOf(header);
    const last = header.sections.at(-1);
    const decoder = newDecoder();
    // The character that the limit may have cut goes on in the content.
    const text = decoder.decode(Uint8Array.from(last?.bytes ?? []), { stream: true });
    sections.splice(-1, 1, { marker: last?.marker ?? 'role', text });
    const read = readHeader(sections, header.role, false, this.#tools);
    this.#fault('missing-message-token', read.rest.slice(0, 40));
    const message = this.#startMessage(read, false);
    this.#decoder = decoder;
    this.#appendContent(message, read.rest);
  }

  #startMessage({ kind, header, faults }: ReadHeader, wholeHeader: boolean): OpenMessage {
    const told = kind !== 'final' || (wholeHeader && faults.length === 0);
    const callId = kind === 'tool-call' ? this.#newCallId() : null;
    const message: OpenMessage = { kind, told, header, wholeHeader, callId, content: '', end: null };
    this.#header = null;
    this.#message = message;
    if (told) this.#announce(message);
    return message;
  }

  #announce(message: OpenMessage): void {
    const { kind, header, wholeHeader, callId } = message;
    const index = this.#messages.length;
    this.#events.push({ type: 'message-start', index, kind, header, wholeHeader, callId });
    this.#messages.push(message);
  }

  #appendContent(message: OpenMessage, text: string): void {
    message.content += text;
    if (message.told) this.#tellContent(message, text);
  }

  #tellContent({ kind }: OpenMessage, text: string): void {
    if (text !== '') this.#events.push({ type: 'content', index: this.#messages.length - 1, kind, text });
  }

  #endMessage(message: OpenMessage, end: HarmonyMessageEnd): void {
    // Bytes that never became a character come out as U+FFFD.
    this.#appendContent(message, this.#decoder.decode());
    if (!message.told) {
      if (!ENDS_OF_ANSWERS.has(end)) message.kind = 'analysis';
      this.#announce(message);
      this.#tellContent(message, message.content);
    }
    const { kind } = message;
    const isCall = kind === 'tool-call';
    if (isCall && end !== 'stream' && message.content.trim() === '') this.#appendContent(message, NO_ARGUMENTS);
    message.end = end;
    this.#message = null;
    if (end === 'call' && !isCall) this.#fault('call-without-recipient', '<|call|>');
    this.#events.push({ type: 'message-end', index: this.#messages.length - 1, kind, end });
  }

  #fault(fault: HarmonyFault, found: string | number): void {
    let text = String(found);
    if (typeof found === 'number' && !this.#isUnknown(found)) text = this.#tokenizer.decode([found]);
    if (this.#strict) throw new HarmonyParseError(fault, this.#tokenCount, text);
    this.#events.push({ type: 'fault', fault, tokenIndex: this.#tokenCount, found: text });
  }

  #takeEvents(): HarmonyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

function newDecoder(): TextDecoder {
  return new TextDecoder('utf-8', { ignoreBOM: true });
}

function textOf(header: OpenHeader): HeaderSection[] {
  return header.sections.map(({ marker, bytes }) => ({ marker, text: newDecoder().decode(Uint8Array.from(bytes)) }));
}

function newHeader(role: 'assistant' | null): OpenHeader {
  return { role, sections: [{ marker: 'role', bytes: [] }], length: 0 };
}
