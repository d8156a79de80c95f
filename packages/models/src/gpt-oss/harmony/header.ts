/**
 * What a message's header means. A header is text in up to three kinds of sections: the role, `<|channel|>` and
 * `<|constrain|>`. The recipient (`to=functions.NAME`) may stand in any of them.
 */

import type { HarmonyFault } from '../../errors.ts';
import { FUNCTIONS_NAMESPACE, toolNameOfRecipient } from './tool-name.ts';
import type { HarmonyChannel, HarmonyHeader, HarmonyMessageKind } from './types.ts';

/** A piece of a header: the text behind one marker. */
export interface HeaderSection {
  readonly marker: 'role' | 'channel' | 'constrain';
  readonly text: string;
}

/** A header, read. */
export interface ReadHeader {
  readonly header: HarmonyHeader;
  readonly kind: HarmonyMessageKind;
  /** Whether it names a recipient, be it one that can be called or not. */
  readonly addressed: boolean;
  /** Text that belongs to no field: the message's content if the header never ended with `<|message|>`. */
  readonly rest: string;
  readonly faults: readonly { readonly fault: HarmonyFault; readonly found: string }[];
}

const CHANNELS: readonly HarmonyChannel[] = ['analysis', 'commentary', 'final'];
const PLAIN_ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;
/** Recipients that name no tool: the message is for whom it is anyway. */
const NO_TOOLS: ReadonlySet<string> = new Set(['assistant', 'user', 'all']);

const FIRST_WORD = /^\s*([^\s<]+)/;
const ASSISTANT_AGAIN = /^\s*assistant\s*(?=$|to=)/;
const LETTERS = /^\s*([A-Za-z]+)/;
/** What may touch the name of a channel. */
const AFTER_CHANNEL = /^(?:$|\s|<|to=|functions\.|(?:json|code|text)\b)/;
const RECIPIENT = /^\s*to=\s*([^\s<{]*)/;
const BARE_RECIPIENT = /^\s*(functions\.[^\s<{]*)/;
const CONTENT_TYPE = /^\s*([A-Za-z][\w+/-]*)(?=\s|$|\{)/;
const KNOWN_CONTENT_TYPE = /^(?:json|code|text)$/;
const SPELLED_MARKER = /<\|\w*\|>/g;

/**
 * Reads a header.
 *
 * @param role The role if something else than the header gave it (the generation prompt), or null: it is the first word.
 * @param complete Whether `<|message|>` ended the header. If not, whatever does not look like a field is content.
 * @param tools The names that can be called, or null: any.
 */
export function readHeader(
  sections: readonly HeaderSection[],
  role: 'assistant' | null,
  complete: boolean,
  tools: ReadonlySet<string> | null,
): ReadHeader {
  const reader = new HeaderReader(complete, tools);
  for (const [index, { marker, text }] of sections.entries()) {
    if (marker === 'channel') reader.readChannel(text);
    else if (marker === 'constrain') reader.readConstrain(text);
    else if (index === 0 && role === null) reader.readRole(text);
    else reader.readFields(text.replace(ASSISTANT_AGAIN, ''));
  }
  return reader.finish();
}

/**
 * The tool that a whole header calls, or null.
 *
 * @param header Its text with markers as words, `<|message|>` excluded.
 * @param role As in readHeader.
 * @param tools The names that can be called.
 */
export function calledTool(header: string, role: 'assistant' | null, tools: ReadonlySet<string>): string | null {
  const [first = '', ...pieces] = header.split(/(<\|channel\|>|<\|constrain\|>)/);
  const sections: HeaderSection[] = [{ marker: 'role', text: first }];
  for (let i = 0; i + 1 < pieces.length; i += 2) {
    sections.push({ marker: pieces[i] === '<|channel|>' ? 'channel' : 'constrain', text: pieces[i + 1] ?? '' });
  }
  const { kind, header: read } = readHeader(sections, role, true, tools);
  return kind === 'tool-call' ? read.recipient : null;
}

/** What is left of `to=functions.name` where a stream ends too early: no words for the user. */
const CUT_RECIPIENT = /^to?$/;

class HeaderReader {
  readonly #complete: boolean;
  readonly #tools: ReadonlySet<string> | null;
  readonly #faults: { fault: HarmonyFault; found: string }[] = [];
  #role: HarmonyHeader['role'] = 'assistant';
  #toolName: string | null = null;
  #channel: HarmonyChannel | null = null;
  #unknownChannel = false;
  #recipient: string | null = null;
  #contentType: string | null = null;
  #rest = '';

  constructor(complete: boolean, tools: ReadonlySet<string> | null) {
    this.#complete = complete;
    this.#tools = tools;
  }

  readRole(text: string): void {
    const word = FIRST_WORD.exec(text);
    const name = word?.[1] ?? '';
    // The format allows a person's name behind the role, as in user:alice.
    const role = PLAIN_ROLES.find((plain) => plain === name || name.startsWith(`${plain}:`));
    // Only a tool's result is addressed to the assistant.
    const isResult = /\sto=assistant\b/.test(text);
    if (role !== undefined) this.#role = role;
    else if (!isResult && this.#tools !== null && toolNameOfRecipient(name, this.#tools) !== null) {
      // The callee in the caller's place.
      this.#fault('unknown-role', name);
      this.#readRecipient(name);
    } else if (name.startsWith(`${FUNCTIONS_NAMESPACE}.`) && (isResult || this.#tools === null)) {
      this.#role = 'tool';
      this.#toolName = toolNameOfRecipient(name);
      if (this.#toolName === null) this.#fault('unknown-role', name);
    } else {
      this.#fault('unknown-role', name);
      if (isResult) this.#role = 'tool';
      else if (name.startsWith('to=') || !this.#complete) {
        this.readFields(text);
        return;
      }
    }
    this.readFields(text.slice(word?.[0].length ?? 0));
  }

  readChannel(text: string): void {
    const [matched, word] = LETTERS.exec(text) ?? ['', ''];
    const channel = CHANNELS.find((known) => this.#startsWith(text.trimStart(), known));
    if (text.trim() === '' || RECIPIENT.test(text)) {
      this.#fault('missing-channel', text);
      this.readFields(text);
      return;
    }
    if (channel === undefined) this.#unknownChannel = true;
    if (channel !== word) this.#fault('unknown-channel', word);
    if (this.#channel !== null) this.#fault('unexpected-header-text', text);
    this.#channel ??= channel ?? null;
    if (channel !== undefined) this.readFields(word.slice(channel.length) + text.slice(matched.length));
    // What is no channel may be the first word of a thought.
    else this.readFields(this.#complete ? text.slice(matched.length) : text);
  }

  readConstrain(text: string): void {
    const [matched, word] = CONTENT_TYPE.exec(text) ?? ['', null];
    if (word === null || this.#contentType !== null) this.#fault('unexpected-header-text', `<|constrain|>${text}`);
    this.#contentType = word ?? this.#contentType;
    this.readFields(text.slice(matched.length));
  }

  readFields(text: string): void {
    let rest = text;
    while (rest.trim() !== '') {
      const recipient = RECIPIENT.exec(rest) ?? (this.#acceptsBareRecipient() ? BARE_RECIPIENT.exec(rest) : null);
      const type = CONTENT_TYPE.exec(rest);
      if (recipient !== null) {
        this.#readRecipient(recipient[1] ?? '');
        rest = rest.slice(recipient[0].length);
      } else if (type !== null && this.#acceptsContentType(type[1] ?? '')) {
        this.#contentType = type[1] ?? null;
        rest = rest.slice(type[0].length);
      } else if (this.#complete) {
        const word = /^\s*\S+/.exec(rest)?.[0] ?? rest;
        this.#fault('unexpected-header-text', word.trim());
        rest = rest.slice(word.length);
      } else {
        this.#rest += rest;
        return;
      }
    }
  }

  finish(): ReadHeader {
    const toAssistant = this.#role === 'assistant';
    const addressed = this.#recipient !== null;
    const recipient =
      toAssistant && this.#recipient !== null ? toolNameOfRecipient(this.#recipient, this.#tools) : null;
    if (toAssistant && this.#recipient !== null && this.#recipient !== `${FUNCTIONS_NAMESPACE}.${recipient}`) {
      this.#fault('invalid-recipient', this.#recipient);
    }
    if (toAssistant && this.#channel === null && !this.#unknownChannel) this.#fault('missing-channel', '');
    const header: HarmonyHeader = {
      role: this.#role,
      toolName: this.#toolName,
      channel: this.#channel,
      recipient,
      contentType: this.#contentType,
    };
    const text = this.#rest.replaceAll(SPELLED_MARKER, '').trimStart();
    const cut =
      this.#channel === 'commentary'
        ? CUT_RECIPIENT.test(text)
        : this.#unknownChannel && CHANNELS.some((channel) => channel.startsWith(text));
    return { header, kind: this.#kind(recipient), addressed, rest: cut ? '' : text, faults: this.#faults };
  }

  #kind(recipient: string | null): HarmonyMessageKind {
    if (this.#role !== 'assistant') return 'prompt';
    if (this.#recipient !== null) return recipient === null ? 'analysis' : 'tool-call';
    if (this.#channel === null) return this.#unknownChannel ? 'analysis' : 'final';
    if (this.#channel !== 'commentary') return this.#channel;
    // Arguments for nobody.
    if (this.#contentType !== null) this.#fault('call-without-recipient', this.#contentType);
    return this.#complete && this.#faults.length === 0 ? 'preamble' : 'analysis';
  }

  /** Whether a section begins with a channel's name. A marker or a recipient may be missing its space ("commentaryto=…"). */
  #startsWith(text: string, channel: HarmonyChannel): boolean {
    if (!text.toLowerCase().startsWith(channel)) return false;
    return !this.#complete || AFTER_CHANNEL.test(text.slice(channel.length));
  }

  #readRecipient(name: string): void {
    if (NO_TOOLS.has(name)) return;
    if (this.#recipient !== null && this.#recipient !== name) this.#fault('unexpected-header-text', `to=${name}`);
    else this.#recipient = name;
  }

  /** An answer without a header may begin with the name of a function. */
  #acceptsBareRecipient(): boolean {
    return this.#complete || this.#channel === 'commentary';
  }

  #acceptsContentType(word: string): boolean {
    if (this.#contentType !== null) return false;
    const isKnown = KNOWN_CONTENT_TYPE.test(word);
    if (this.#recipient !== null) return this.#complete || isKnown;
    // Without a recipient, any other word is more likely a stray one.
    return this.#complete && this.#channel !== null && isKnown;
  }

  #fault(fault: HarmonyFault, found: string): void {
    this.#faults.push({ fault, found });
  }
}
