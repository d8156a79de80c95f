/**
 * Conversations to token ids. Markers are put in by id and every text goes through `Tokenizer.encode`, so that no text
 * of a user, an application or a tool can become a marker.
 */

import { TooManyTokensError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { type HarmonyFormat, PUBLISHED_HARMONY_FORMAT } from './format.ts';
import { commentLines } from './json-schema.ts';
import { type HarmonyTokens, harmonyTokens } from './special-tokens.ts';
import { declareTools } from './tool-declarations.ts';
import { withResultsInOrder } from './tool-results.ts';
import { FUNCTIONS_NAMESPACE, NO_ARGUMENTS, qualifiedToolName } from './tool-name.ts';
import type {
  HarmonyAssistantMessage,
  HarmonyChannel,
  HarmonyConversation,
  HarmonyMessage,
  HarmonyResponseFormat,
} from './types.ts';

export interface RenderOptions {
  /** Default PUBLISHED_HARMONY_FORMAT. `harmonyFormatOf(snapshot.chatTemplate)` gives a checkpoint's own. */
  readonly format?: HarmonyFormat;
  /** Whether the prompt ends with `<|start|>assistant`, ready for an answer. Default true. */
  readonly addGenerationPrompt?: boolean;
  /**
   * Whose analysis is rendered: `current-turn` (default) only that of steps after the last user message, as the models
   * are trained; `all` every step's; `none` nobody's.
   */
  readonly analysis?: 'current-turn' | 'all' | 'none';
  /**
   * How a final message ends that is the conversation's last, without a generation prompt: `return` (default), as in
   * training texts, or `end`, as in histories.
   */
  readonly lastFinalEnd?: 'return' | 'end';
  /** The most ids that are of use: a conversation of many more is given up early. Default no limit. */
  readonly maxTokens?: number;
  /** Gives the current date where the conversation has none. Default `() => new Date()`. */
  readonly clock?: () => Date;
}

/**
 * Renders a conversation to the ids of its prompt.
 *
 * Leading system and developer messages, the tools and the response format make one developer message; later ones stand
 * where they are. Empty instructions are left out. Results stand behind the calls that they belong to, in the order of
 * the calls: see `withResultsInOrder`.
 *
 * @throws InvalidToolNameError, DuplicateToolError, UnknownToolResultError, MissingToolResultError,
 * MissingSpecialTokenError, and TooManyTokensError where there are more ids than `maxTokens`
 */
export function renderConversation(
  conversation: HarmonyConversation,
  tokenizer: Tokenizer,
  options: RenderOptions = {},
): number[] {
  const format = options.format ?? PUBLISHED_HARMONY_FORMAT;
  const addGenerationPrompt = options.addGenerationPrompt ?? true;
  const prompt = new Prompt(tokenizer, options.maxTokens);
  const messages = withResultsInOrder(conversation.messages, addGenerationPrompt);

  prompt.message('system', systemText(conversation, format, options.clock ?? (() => new Date())), 'end');
  let first = messages.findIndex((message) => !isInstructions(message));
  if (first === -1) first = messages.length;
  const developer = developerText(conversation, instructionsOf(messages.slice(0, first)), format);
  if (developer !== '') prompt.message('developer', developer, 'end');

  const lastUser = messages.findLastIndex((message) => message.role === 'user');
  const analysis = options.analysis ?? 'current-turn';
  for (const [index, message] of messages.entries()) {
    if (index < first) continue;
    switch (message.role) {
      case 'system':
      case 'developer':
        if (message.content !== '') prompt.message('developer', `# Instructions\n\n${message.content}`, 'end');
        break;
      case 'user':
        prompt.message('user', message.content, 'end');
        break;
      case 'tool':
        prompt.start(`${qualifiedToolName(message.name)} to=assistant`).channel('commentary');
        prompt.body(message.content, 'end');
        break;
      case 'assistant': {
        const withAnalysis = analysis === 'all' || (analysis === 'current-turn' && index > lastUser);
        const last = index === messages.length - 1 && !addGenerationPrompt;
        const finalEnd = last ? (options.lastFinalEnd ?? 'return') : 'end';
        renderAssistantMessage(message, prompt, format, withAnalysis, finalEnd);
        break;
      }
    }
  }
  if (addGenerationPrompt) prompt.start('assistant');
  return prompt.finish();
}

/**
 * The ids that go behind a generation prompt to make the model write one kind of message: its header, up to and with
 * `<|message|>`. Give them to the parser too. `{ toolName }` forces a call of that tool.
 *
 * @throws InvalidToolNameError, MissingSpecialTokenError
 */
export function renderAnswerPrefix(
  target: { readonly channel: HarmonyChannel } | { readonly toolName: string },
  tokenizer: Tokenizer,
  options: Pick<RenderOptions, 'format'> = {},
): number[] {
  const prompt = new Prompt(tokenizer);
  if ('channel' in target) prompt.channel(target.channel);
  else callHeader(target.toolName, prompt, options.format ?? PUBLISHED_HARMONY_FORMAT);
  return prompt.marker('message').finish();
}

function renderAssistantMessage(
  message: HarmonyAssistantMessage,
  prompt: Prompt,
  format: HarmonyFormat,
  withAnalysis: boolean,
  finalEnd: 'return' | 'end',
): void {
  const calls = message.toolCalls ?? [];
  if (withAnalysis && message.analysis !== undefined && message.analysis !== '') {
    prompt.start('assistant').channel('analysis').body(message.analysis, 'end');
  }
  const preambles = [message.preamble, calls.length > 0 ? message.content : undefined];
  for (const preamble of preambles) {
    if (preamble !== undefined && preamble !== '')
      prompt.start('assistant').channel('commentary').body(preamble, 'end');
  }
  for (const call of calls) {
    prompt.start('assistant');
    callHeader(call.name, prompt, format);
    prompt.body(call.arguments.trim() === '' ? NO_ARGUMENTS : call.arguments, 'call');
  }
  if (calls.length === 0 && message.content !== undefined) {
    prompt.start('assistant').channel('final').body(message.content, finalEnd);
  }
}

function callHeader(toolName: string, prompt: Prompt, format: HarmonyFormat): void {
  const recipient = ` to=${qualifiedToolName(toolName)}`;
  if (format.recipientPlacement === 'role') prompt.text(recipient).channel('commentary').text(' ');
  else prompt.channel('commentary').text(`${recipient} `);
  prompt.marker('constrain').text('json');
}

function systemText(conversation: HarmonyConversation, format: HarmonyFormat, clock: () => Date): string {
  const identity = conversation.modelIdentity ?? format.modelIdentity;
  const cutoff = conversation.knowledgeCutoff ?? format.knowledgeCutoff;
  const date = conversation.currentDate ?? clock().toISOString().slice(0, 'YYYY-MM-DD'.length);
  const toolLine =
    (conversation.tools ?? []).length > 0
      ? `\nCalls to these tools must go to the commentary channel: '${FUNCTIONS_NAMESPACE}'.`
      : '';
  return (
    `${identity}\nKnowledge cutoff: ${cutoff}\nCurrent date: ${date}\n\n` +
    `Reasoning: ${conversation.reasoningEffort ?? 'medium'}\n\n` +
    `# Valid channels: analysis, commentary, final. Channel must be included for every message.${toolLine}`
  );
}

function developerText(conversation: HarmonyConversation, instructions: string, format: HarmonyFormat): string {
  const sections: string[] = [];
  if (instructions !== '') sections.push(`# Instructions\n\n${instructions}`);
  const tools = conversation.tools ?? [];
  if (tools.length > 0) sections.push(declareTools(tools, format.toolParameters));
  if (conversation.responseFormat !== undefined) sections.push(responseFormatText(conversation.responseFormat));
  const end = instructions !== '' && sections.length === 1 ? format.instructionsEnd : '';
  return sections.join('\n\n') + end;
}

function responseFormatText(format: HarmonyResponseFormat): string {
  const description = format.description === undefined ? '' : commentLines(format.description);
  return `# Response Formats\n\n## ${format.name}\n\n${description}${JSON.stringify(format.schema)}`;
}

function isInstructions(message: HarmonyMessage): boolean {
  return message.role === 'system' || message.role === 'developer';
}

function instructionsOf(messages: readonly HarmonyMessage[]): string {
  return messages
    .map((message) => ('content' in message ? (message.content ?? '') : ''))
    .filter((content) => content !== '')
    .join('\n\n');
}

/**
 * Ids in the making. Texts that touch are joined before they are encoded: "assistant" and " to=functions.x" have to give
 * the ids of the one string that the model saw in training.
 */
class Prompt {
  readonly #tokenizer: Tokenizer;
  readonly #tokens: HarmonyTokens;
  readonly #ids: number[] = [];
  readonly #most: number;
  #text = '';

  constructor(tokenizer: Tokenizer, most = Number.POSITIVE_INFINITY) {
    this.#tokenizer = tokenizer;
    this.#most = most;
    this.#tokens = harmonyTokens(tokenizer);
  }

  text(text: string): this {
    this.#text += text;
    return this;
  }

  marker(name: 'start' | 'channel' | 'constrain' | 'message' | 'end' | 'call' | 'return'): this {
    this.#flush();
    this.#ids.push(this.#tokens[name]);
    return this;
  }

  start(author: string): this {
    return this.marker('start').text(author);
  }

  channel(channel: HarmonyChannel): this {
    return this.marker('channel').text(channel);
  }

  body(content: string, end: 'end' | 'call' | 'return'): this {
    return this.marker('message').text(content).marker(end);
  }

  message(author: string, content: string, end: 'end'): this {
    return this.start(author).body(content, end);
  }

  finish(): number[] {
    this.#flush();
    this.#checkLength();
    return this.#ids;
  }

  #flush(): void {
    if (this.#text === '') return;
    this.#checkLength();
    for (const id of this.#encode(this.#text)) this.#ids.push(id);
    this.#text = '';
  }

  #encode(text: string): number[] {
    try {
      return this.#tokenizer.encode(text, this.#most - this.#ids.length);
    } catch (error) {
      throw error instanceof TooManyTokensError ? new TooManyTokensError(this.#most) : error;
    }
  }

  #checkLength(): void {
    if (this.#ids.length > this.#most) throw new TooManyTokensError(this.#most);
  }
}
