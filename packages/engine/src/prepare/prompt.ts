/**
 * From a request to the prompt's token ids and a reader for the answer.
 */

import {
  type HarmonyConversation,
  type HarmonyResponseFormat,
  harmonyFormatOf,
  harmonyTokens,
  renderConversation,
  type Snapshot,
  type Tokenizer,
} from '@switchyard/models';
import { type CallableTools, HarmonyReader } from '../answer/harmony-reader.ts';
import type { AnswerReader } from '../answer/reader.ts';
import type { StopStrings } from '../answer/stop-strings.ts';
import { TextReader } from '../answer/text-reader.ts';
import { checkIds } from './check-request.ts';
import { EmptyPromptError, InvalidRequestError } from '../errors.ts';
import type { PromptRequest, ResponseFormat } from '../request.ts';
import { describeValue } from '../check-values.ts';

/** A prompt and how to read what comes after it. */
export interface BuiltPrompt {
  readonly ids: Int32Array;
  readonly createReader: () => AnswerReader;
}

/**
 * Builds a request's prompt.
 *
 * @param most The most tokens that it may have: a text of many more is not read to its end.
 * @throws InvalidRequestError, EmptyPromptError, TooManyTokensError, or what the harmony renderer throws
 */
export function buildPrompt(request: PromptRequest, snapshot: Snapshot, stops: StopStrings, most: number): BuiltPrompt {
  const { tokenizer } = snapshot;
  const ids = promptIds(request, snapshot, most);
  if (ids.length === 0) throw new EmptyPromptError();
  if (readsHarmony(request, ids, tokenizer)) {
    const header = openHeader(ids, tokenizer);
    const tools = callableTools(request);
    return { ids, createReader: () => new HarmonyReader(tokenizer, stops, header, tools) };
  }
  return { ids, createReader: () => new TextReader(tokenizer, stops) };
}

function promptIds(request: PromptRequest, snapshot: Snapshot, most: number): Int32Array {
  const { tokenizer } = snapshot;
  const given = [request.messages, request.prompt, request.promptIds].filter((input) => input !== undefined).length;
  if (given !== 1) {
    throw new InvalidRequestError('messages', `${given} prompts`, 'give exactly one of messages, prompt and promptIds');
  }
  if (request.messages !== undefined) return renderMessages(request, request.messages, snapshot, most);
  const { prompt } = request;
  if (prompt !== undefined) {
    if (typeof prompt !== 'string') throw new InvalidRequestError('prompt', describeValue(prompt), 'give a string');
    const special = request.promptHasSpecialTokens === true;
    return Int32Array.from(special ? tokenizer.encodeWithSpecialTokens(prompt, most) : tokenizer.encode(prompt, most));
  }
  return checkIds('promptIds', request.promptIds, tokenizer.vocabularySize);
}

function renderMessages(
  request: PromptRequest,
  messages: HarmonyConversation['messages'],
  snapshot: Snapshot,
  maxTokens: number,
): Int32Array {
  if (messages.length === 0) throw new EmptyPromptError();
  const format = harmonyFormatOf(snapshot.chatTemplate);
  const { tools, toolChoice, responseFormat, reasoningEffort, modelIdentity, currentDate } = request;
  const conversation: HarmonyConversation = {
    messages,
    ...(tools === undefined || toolChoice === 'none' ? {} : { tools }),
    ...(responseFormat?.type === 'json-schema' ? { responseFormat: harmonyResponseFormat(responseFormat) } : {}),
    ...(reasoningEffort === undefined ? {} : { reasoningEffort }),
    ...(modelIdentity === undefined ? {} : { modelIdentity }),
    ...(currentDate === undefined ? {} : { currentDate }),
  };
  const ids = renderConversation(conversation, snapshot.tokenizer, { format, maxTokens });
  return Int32Array.from(ids);
}

function harmonyResponseFormat({
  name = 'answer',
  description,
  schema,
}: ResponseFormat & { type: 'json-schema' }): HarmonyResponseFormat {
  return { name, schema, ...(description === undefined ? {} : { description }) };
}

/** The functions that the answer may call; null for a raw prompt, which declares its tools itself. */
function callableTools({ messages, tools = [], toolChoice }: PromptRequest): CallableTools | null {
  if (messages === undefined) return null;
  const callable = toolChoice === 'none' ? [] : tools;
  return {
    names: new Set(callable.map(({ name }) => name)),
    strict: new Set(callable.flatMap(({ name, strict }) => (strict === true ? [name] : []))),
  };
}

function readsHarmony(request: PromptRequest, ids: Int32Array, tokenizer: Tokenizer): boolean {
  if (request.output !== undefined) return request.output === 'harmony';
  const start = tokenizer.specialTokens.get('<|start|>');
  return request.messages !== undefined || (start !== undefined && ids.includes(start));
}

/** The prompt's last message as far as it goes, where the answer continues it; empty where that is a plain assistant turn. */
function openHeader(ids: Int32Array, tokenizer: Tokenizer): Int32Array {
  const { start } = harmonyTokens(tokenizer);
  const last = ids.lastIndexOf(start);
  // Were the role read with the answer, an answer without a header would begin with it.
  const plain = last < 0 || tokenizer.decode(ids.subarray(last + 1)) === 'assistant';
  return plain ? new Int32Array(0) : ids.slice(last);
}
