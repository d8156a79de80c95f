/**
 * Keeps a harmony answer to what the request demands: a tool call, no tool call, a final message that is JSON, or
 * arguments that follow a strict tool's schema.
 *
 * Where messages are demanded, their headers are followed along the few token sequences that are allowed; where only
 * tools are strict, the model writes as it likes until a header calls one of them. Only bodies are held to a grammar,
 * so that no mask ever hides a control token where the format needs one.
 */

import { calledTool, type HarmonyTokens, LONGEST_HARMONY_HEADER } from '@switchyard/models';
import type { TokenConstraint } from './token-constraint.ts';
import { ForwardError } from '../errors.ts';
import { allowToken, type TokenMask, tokenMaskWords } from '../sampling/token-mask.ts';
import type { JsonBody, JsonBodySource } from './grammar/json-grammar.ts';

/** What the answer has to be. Survives a structured clone. */
export interface AnswerConstraintSpec {
  readonly toolChoice: 'auto' | 'none' | 'required' | { readonly name: string };
  /** The request's tools; `schema` is the JSON text of the arguments' schema, or null for any object. Under `'auto'`, only strict tools are held to it. */
  readonly tools: readonly { readonly name: string; readonly schema: string | null; readonly strict: boolean }[];
  /** What the final message has to be: null for any text; `schema` null for any JSON object. */
  readonly finalJson: { readonly schema: string | null } | null;
  /** Where the checkpoint writes a call's recipient. */
  readonly recipientPlacement: 'role' | 'channel';
}

/** What the constraint has to know of the tokenizer. */
export interface ConstraintTokenizer {
  readonly vocabularySize: number;
  encode(text: string): number[];
  decode(ids: readonly number[]): string;
  isSpecial(id: number): boolean;
}

/** Whether the answer's messages follow one of a few plans; otherwise strict tools, if any, are all there is to watch. */
function demandsMessages({ finalJson, toolChoice, tools }: AnswerConstraintSpec): boolean {
  return finalJson !== null || (toolChoice !== 'auto' && tools.length > 0);
}

/** Whether a request needs a constraint at all. */
export function needsConstraint(spec: AnswerConstraintSpec): boolean {
  return demandsMessages(spec) || (spec.toolChoice === 'auto' && spec.tools.some(({ strict }) => strict));
}

/** Every schema that bodies may be held to, with the field of the request that has it. */
export function enforcedSchemas(spec: AnswerConstraintSpec): (readonly [field: string, schema: string | null])[] {
  const demanded = demandsMessages(spec);
  return [
    ...(spec.finalJson === null ? [] : [['responseFormat.schema', spec.finalJson.schema] as const]),
    ...spec.tools.flatMap(({ schema, strict }, index) =>
      spec.toolChoice !== 'none' && (demanded || strict) ? [[`tools[${index}].parameters`, schema] as const] : [],
    ),
  ];
}

/** A message that may come next: its header's tokens and its body. */
interface Message {
  readonly header: readonly number[];
  readonly kind: 'analysis' | 'text' | 'json';
  /** The token that ends the body. */
  readonly endToken: number;
  /** For JSON bodies. */
  readonly schema: string | null;
}

/** The longest header in which a recipient is looked for, in tokens: the parser's own limit, in bytes, and the last token. */
const LONGEST_HEADER = LONGEST_HARMONY_HEADER + 1;

type State =
  /** Anything goes; `header` has the tokens of the header in progress, null inside bodies; `role` where it need not name it. */
  | { readonly at: 'free'; readonly header: readonly number[] | null; readonly role: 'assistant' | null }
  | { readonly at: 'header'; readonly position: number; readonly candidates: readonly Message[] }
  | { readonly at: 'body'; readonly message: Message; readonly json: JsonBody | null }
  | { readonly at: 'done' };

/** Follows one answer from just after the prompt's `<|start|>assistant`. */
export class AnswerConstraint implements TokenConstraint {
  readonly #tokenizer: ConstraintTokenizer;
  readonly #control: HarmonyTokens;
  readonly #grammars: JsonBodySource | null;
  readonly #words: number;
  /** What has to come after the analysis. */
  readonly #targets: readonly Message[];
  /** Tools whose arguments follow their schema although no call is demanded. */
  readonly #strictTools: ReadonlyMap<string, string | null>;
  readonly #toolNames: ReadonlySet<string>;
  #state: State;
  #mask: TokenMask | null = null;
  #ready: Promise<void> = Promise.resolve();

  /**
   * @param vocabularySize Of the logits: tokens that the tokenizer does not have stay forbidden.
   * @param grammars Needed where the specification has JSON bodies.
   */
  constructor(
    spec: AnswerConstraintSpec,
    tokenizer: ConstraintTokenizer,
    control: HarmonyTokens,
    vocabularySize: number,
    grammars: JsonBodySource | null,
  ) {
    this.#tokenizer = tokenizer;
    this.#control = control;
    this.#grammars = grammars;
    this.#words = tokenMaskWords(vocabularySize);
    this.#toolNames = new Set(spec.tools.map(({ name }) => name));
    this.#strictTools = new Map(spec.tools.flatMap(({ name, schema, strict }) => (strict ? [[name, schema]] : [])));
    if (!demandsMessages(spec)) {
      this.#targets = [];
      this.#state = { at: 'free', header: [], role: 'assistant' };
      return;
    }
    this.#targets = this.#targetsOf(spec);
    const analysis: Message = {
      header: [control.channel, ...tokenizer.encode('analysis'), control.message],
      kind: 'analysis',
      endToken: control.end,
      schema: null,
    };
    this.#state = { at: 'header', position: 0, candidates: [analysis, ...this.#targets] };
    this.#settle(this.#refresh());
  }

  /** Settles when `mask` is up to date with every accepted token. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  mask(): TokenMask | null {
    return this.#mask;
  }

  accept(token: number): void {
    const state = this.#state;
    if (state.at === 'header') this.#followHeader(state, token);
    else if (state.at === 'body') this.#followBody(state, token);
    else if (state.at === 'free') this.#watch(state, token);
  }

  [Symbol.dispose](): void {
    if (this.#state.at === 'body') this.#state.json?.[Symbol.dispose]();
    this.#state = { at: 'done' };
  }

  /** The messages that the request demands. */
  #targetsOf(spec: AnswerConstraintSpec): Message[] {
    const encode = (text: string): number[] => this.#tokenizer.encode(text);
    const { channel, constrain, message, call } = this.#control;
    const named = typeof spec.toolChoice === 'object' ? spec.toolChoice.name : null;
    const callable =
      spec.toolChoice === 'none' ? [] : spec.tools.filter((tool) => named === null || tool.name === named);
    const calls = callable.map(({ name, schema }): Message => {
      const recipient = `to=functions.${name}`;
      const header =
        spec.recipientPlacement === 'channel'
          ? [channel, ...encode(`commentary ${recipient} `)]
          : [...encode(` ${recipient}`), channel, ...encode('commentary ')];
      return {
        header: [...header, constrain, ...encode('json'), message],
        kind: 'json',
        endToken: call,
        schema,
      };
    });
    if (spec.toolChoice === 'required' || named !== null) return calls;
    const final: Message = {
      header: [channel, ...encode('final'), message],
      kind: spec.finalJson === null ? 'text' : 'json',
      endToken: this.#control.return,
      schema: spec.finalJson?.schema ?? null,
    };
    return [...calls, final];
  }

  /** Looks for the call of a strict tool in an answer that is free otherwise. */
  #watch({ header, role }: Extract<State, { at: 'free' }>, token: number): void {
    const { start, channel, message, call } = this.#control;
    if (token === start) {
      this.#state = { at: 'free', header: [], role: null };
    } else if (header === null && token === channel) {
      this.#state = { at: 'free', header: [channel], role: 'assistant' };
    } else if (token === message && header !== null) {
      const name = calledTool(this.#tokenizer.decode(header), role, this.#toolNames);
      const schema = name === null ? undefined : this.#strictTools.get(name);
      this.#state = { at: 'free', header: null, role: null };
      if (schema === undefined) return;
      const body: Message = { header: [], kind: 'json', endToken: call, schema };
      this.#state = { at: 'body', message: body, json: null };
      this.#settle(this.#startJson(body));
    } else if (header !== null) {
      this.#state = { at: 'free', header: header.length < LONGEST_HEADER ? [...header, token] : null, role };
    }
  }

  #followHeader(state: Extract<State, { at: 'header' }>, token: number): void {
    const candidates = state.candidates.filter(({ header }) => header[state.position] === token);
    const position = state.position + 1;
    const complete = candidates.find(({ header }) => header.length === position);
    if (complete === undefined) {
      this.#state = { at: 'header', position, candidates };
      this.#settle(this.#refresh());
      return;
    }
    this.#state = { at: 'body', message: complete, json: null };
    this.#settle(complete.kind === 'json' ? this.#startJson(complete) : this.#refresh());
  }

  #followBody(state: Extract<State, { at: 'body' }>, token: number): void {
    const { message, json } = state;
    if (token !== message.endToken) {
      if (json === null) return;
      this.#settle(this.#advanceJson(json, token));
      return;
    }
    json?.[Symbol.dispose]();
    if (message.kind === 'analysis') {
      const restart = [this.#control.start, ...this.#tokenizer.encode('assistant')];
      const candidates = this.#targets.map((target) => ({ ...target, header: [...restart, ...target.header] }));
      this.#state = { at: 'header', position: 0, candidates };
    } else {
      this.#state = { at: 'done' };
    }
    this.#settle(this.#refresh());
  }

  /** A job that is cancelled awaits `ready` no more: its failure must not become an unhandled rejection. */
  #settle(ready: Promise<void>): void {
    ready.catch(() => undefined);
    this.#ready = ready;
  }

  async #startJson(message: Message): Promise<void> {
    if (this.#grammars === null) throw new ForwardError('a JSON body without a compiled grammar');
    const json = await this.#grammars.start(message.schema);
    if (this.#state.at !== 'body') {
      json[Symbol.dispose]();
      return;
    }
    this.#state = { at: 'body', message, json };
    await this.#refresh();
  }

  async #advanceJson(json: JsonBody, token: number): Promise<void> {
    if (!(await json.accept(token))) throw new ForwardError(`token ${token}, which the mask had ruled out`);
    await this.#refresh();
  }

  async #refresh(): Promise<void> {
    const state = this.#state;
    if (state.at === 'done' || state.at === 'free') {
      this.#mask = null;
    } else if (state.at === 'header') {
      const mask = new Uint32Array(this.#words);
      for (const { header } of state.candidates) allowToken(mask, header[state.position] ?? this.#control.message);
      this.#mask = mask;
    } else if (state.json === null) {
      this.#mask = this.#textMask(state.message.endToken);
    } else {
      const { mask, endAllowed } = await state.json.next();
      const wide = new Uint32Array(this.#words);
      wide.set(mask.subarray(0, this.#words));
      if (endAllowed) allowToken(wide, state.message.endToken);
      this.#mask = wide;
    }
  }

  /** Every ordinary token, and the end. */
  #textMask(endToken: number): TokenMask {
    const mask = new Uint32Array(this.#words);
    for (let id = 0; id < this.#tokenizer.vocabularySize; id += 1)
      if (!this.#tokenizer.isSpecial(id)) allowToken(mask, id);
    allowToken(mask, endToken);
    return mask;
  }
}
