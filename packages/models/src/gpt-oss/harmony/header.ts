/**
 * What a message's header means. A header is text in up to three kinds of sections: the role, `<|channel|>` and
 * `<|constrain|>`. The recipient (`to=functions.NAME`) may stand in any of them.
 *
 * @module
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
 */
export function readHeader(
  sections: readonly HeaderSection[],
  role: 'assistant' | null,
  complete: boolean,
): ReadHeader {
  const reader = new HeaderReader(complete);
  for (const [index, { marker, text }] of sections.entries()) {
    if (marker === 'channel') reader.readChannel(text);
    else if (marker === 'constrain') reader.readConstrain(text);
    else if (index === 0 && role === null) reader.readRole(text);
    else reader.readFields(text.replace(ASSISTANT_AGAIN, ''));
  }
  return reader.finish();
}

/** What is left of `to=functions.name` where a stream ends too early: no words for the user. */
const CUT_RECIPIENT = /^to?$/;

class HeaderReader {
  readonly #complete: boolean;
  readonly #faults: { fault: HarmonyFault; found: string }[] = [];
  #role: HarmonyHeader['role'] = 'assistant';
  #toolName: string | null = null;
  #channel: HarmonyChannel | null = null;
  #unknownChannel = false;
  #recipient: string | null = null;
  #contentType: string | null = null;
  #rest = '';

  constructor(complete: boolean) {
    this.#complete = complete;
  }

  readRole(text: string): void {
    const word = FIRST_WORD.exec(text);
    const name = word?.[1] ?? '';
    // The format allows a person's name behind the role, as in user:alice.
    const role = PLAIN_ROLES.find((plain) => plain === name || name.startsWith(`${plain}:`));
    if (role !== undefined) this.#role = role;
    else if (name.startsWith(`${FUNCTIONS_NAMESPACE}.`)) {
      this.#role = 'tool';
      this.#toolName = toolNameOfRecipient(name);
      if (this.#toolName === null) this.#fault('unknown-role', name);
    } else {
      this.#fault('unknown-role', name);
      // Only a tool's result is addressed to the assistant.
      if (/\sto=assistant\b/.test(text)) this.#role = 'tool';
      else if (name.startsWith('to=') || !this.#complete) {
        this.readFields(text);
        return;
      }
    }
    this.readFields(text.slice(word?.[0].length ?? 0));
  }

  readChannel(text: string): void {
    const [matched, word] = LETTERS.exec(text) ?? ['', ''];
    // A marker or a recipient may be missing its space ("commentaryto=…"): the known name is cut off the front.
    const channel = CHANNELS.find((known) => word.toLowerCase().startsWith(known));
    if (word === '') this.#fault('missing-channel', text);
    else if (channel === undefined) this.#unknownChannel = true;
    if (word !== '' && channel !== word) this.#fault('unknown-channel', word);
    if (this.#channel !== null) this.#fault('unexpected-header-text', text);
    this.#channel ??= channel ?? null;
    this.readFields((channel === undefined ? '' : word.slice(channel.length)) + text.slice(matched.length));
  }

  readConstrain(text: string): void {
    const [matched, word] = CONTENT_TYPE.exec(text) ?? ['', null];
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
    const recipient = toAssistant && this.#recipient !== null ? toolNameOfRecipient(this.#recipient) : null;
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
    const rest = this.#channel === 'commentary' && CUT_RECIPIENT.test(text) ? '' : text;
    return { header, kind: this.#kind(recipient), rest, faults: this.#faults };
  }

  #kind(recipient: string | null): HarmonyMessageKind {
    if (this.#role !== 'assistant') return 'prompt';
    if (this.#recipient !== null) return recipient === null ? 'undeliverable' : 'tool-call';
    if (this.#channel === null) return this.#unknownChannel ? 'analysis' : 'final';
    if (this.#channel !== 'commentary') return this.#channel;
    if (this.#contentType === null) return 'preamble';
    // Arguments for nobody: no words for the user.
    this.#fault('call-without-recipient', this.#contentType);
    return 'undeliverable';
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
    return this.#complete || (this.#recipient !== null && KNOWN_CONTENT_TYPE.test(word));
  }

  #fault(fault: HarmonyFault, found: string): void {
    this.#faults.push({ fault, found });
  }
}
