/**
 * Requests as they come from JavaScript and from files: what the types promise is checked here, so that a wrong field is
 * a bad request by name and never a prompt that says "undefined".
 */

import { reasonOf } from '../contain.ts';
import { REASONING_EFFORTS } from '@switchyard/models';
import { InvalidRequestError } from '../errors.ts';
import { MOST_STOP_STRINGS } from '../ranges.ts';
import type { GenerateRequest, PromptRequest } from '../request.ts';
import { checkOneOf, describeValue } from '../check-values.ts';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];
const OUTPUTS = ['harmony', 'text'];
const DATE = /^\d{4}-\d{2}-\d{2}$/;

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function objectAt(field: string, value: unknown): Fields {
  if (isObject(value)) return value;
  throw new InvalidRequestError(field, describeValue(value), 'give an object');
}

function listAt(field: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new InvalidRequestError(field, describeValue(value), 'give an array');
}

function checkText(field: string, value: unknown): void {
  if (typeof value !== 'string') throw new InvalidRequestError(field, describeValue(value), 'give a string');
}

function checkOptionalTexts(field: string, object: Fields, names: readonly string[]): void {
  for (const name of names) if (object[name] !== undefined) checkText(`${field}.${name}`, object[name]);
}

function checkMessage(field: string, value: unknown): void {
  const message = objectAt(field, value);
  const { role, content, toolCalls } = message;
  checkOneOf(`${field}.role`, role, ROLES);
  if (role !== 'assistant' || content !== undefined) checkText(`${field}.content`, content);
  if (role === 'tool') checkOptionalTexts(field, message, ['name', 'toolCallId']);
  if (role !== 'assistant') return;
  checkOptionalTexts(field, message, ['analysis', 'preamble']);
  if (toolCalls === undefined) return;
  for (const [index, item] of listAt(`${field}.toolCalls`, toolCalls).entries()) {
    const place = `${field}.toolCalls[${index}]`;
    const call = objectAt(place, item);
    for (const name of ['id', 'name', 'arguments']) checkText(`${place}.${name}`, call[name]);
  }
}

/** JSON Schemas are objects without circles. */
function checkSchema(field: string, value: unknown): void {
  objectAt(field, value);
  try {
    JSON.stringify(value);
  } catch (cause) {
    const found = reasonOf(cause).split('\n')[0] ?? '';
    throw new InvalidRequestError(field, `no JSON: ${found}`, 'give a JSON Schema', { cause });
  }
}

function checkTool(field: string, value: unknown): void {
  const tool = objectAt(field, value);
  checkText(`${field}.name`, tool['name']);
  checkOptionalTexts(field, tool, ['description', 'inputGrammar']);
  if (tool['parameters'] !== undefined) checkSchema(`${field}.parameters`, tool['parameters']);
}

function checkResponseFormat(value: unknown): void {
  const format = objectAt('responseFormat', value);
  checkOneOf('responseFormat.type', format['type'], ['text', 'json-object', 'json-schema']);
  if (format['type'] !== 'json-schema') return;
  checkSchema('responseFormat.schema', format['schema']);
  checkOptionalTexts('responseFormat', format, ['name', 'description']);
}

/** Checks what a conversation says, its size apart. Throws InvalidRequestError. */
function checkConversation(request: PromptRequest): void {
  const { messages, tools, reasoningEffort, modelIdentity, currentDate } = request;
  for (const [index, message] of listAt('messages', messages).entries()) checkMessage(`messages[${index}]`, message);
  if (tools !== undefined) {
    for (const [index, tool] of listAt('tools', tools).entries()) checkTool(`tools[${index}]`, tool);
  }
  if (reasoningEffort !== undefined) checkOneOf('reasoningEffort', reasoningEffort, REASONING_EFFORTS);
  if (modelIdentity !== undefined) checkText('modelIdentity', modelIdentity);
  if (currentDate !== undefined && (typeof currentDate !== 'string' || !DATE.test(currentDate))) {
    throw new InvalidRequestError('currentDate', describeValue(currentDate), 'give a date as YYYY-MM-DD');
  }
}

/** By what it can do: to a test runner's sandbox, signals of Node are of another realm. */
function isAbortSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Partial<Record<keyof AbortSignal, unknown>>;
  const { aborted, addEventListener, removeEventListener } = fields;
  return (
    typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof removeEventListener === 'function'
  );
}

/** Checks that there is a request, what its conversation says, and what its answer is to be. Throws InvalidRequestError. */
export function checkRequest(request: PromptRequest & Pick<GenerateRequest, 'signal'>): void {
  const { output, responseFormat, signal } = objectAt('request', request);
  if (request.messages !== undefined) checkConversation(request);
  if (responseFormat !== undefined) checkResponseFormat(responseFormat);
  if (output !== undefined) checkOneOf('output', output, OUTPUTS);
  if (signal !== undefined && !isAbortSignal(signal)) {
    throw new InvalidRequestError('signal', describeValue(signal), 'give an AbortSignal');
  }
}

/**
 * Token ids as they came, of any realm and over memory of any kind, each of them one of a token, copied. Throws
 * InvalidRequestError.
 *
 * @param tokens The tokenizer's: a model's vocabulary may be padded beyond it with ids that stand for nothing.
 */
export function checkIds(field: string, ids: ArrayLike<number> | undefined, tokens: number): Int32Array {
  if (ids === undefined || ids === null || typeof ids !== 'object' || typeof ids.length !== 'number') {
    throw new InvalidRequestError(field, describeValue(ids), 'give an array of token ids');
  }
  const { length } = ids;
  if (!Number.isSafeInteger(length) || length < 0 || (length === 0 && isDetached(ids))) {
    throw new InvalidRequestError(field, 'an array without memory or length', 'give an array of token ids');
  }
  const checked: number[] = [];
  for (let i = 0; i < length; i++) {
    // Read once: another thread may write to shared memory.
    const id: unknown = ids[i];
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= tokens) {
      throw new InvalidRequestError(`${field}[${i}]`, describeValue(id), `ids go from 0 to ${tokens - 1}`);
    }
    checked.push(id);
  }
  return Int32Array.from(checked);
}

/** Whether these are a typed array whose buffer was transferred: it looks empty. */
function isDetached(ids: object): boolean {
  if (!ArrayBuffer.isView(ids)) return false;
  try {
    Uint8Array.prototype.at.call(ids, 0);
    return false;
  } catch {
    return true;
  }
}

/** Texts that end an answer: none, one or several, none of them empty. Throws InvalidRequestError. */
export function checkStops(stop: GenerateRequest['stop']): readonly string[] {
  const stops = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop;
  if (!Array.isArray(stops) || stops.length > MOST_STOP_STRINGS) {
    throw new InvalidRequestError('stop', describeValue(stop), `give at most ${MOST_STOP_STRINGS} strings`);
  }
  stops.forEach((text: unknown, i) => {
    if (typeof text !== 'string' || text === '') {
      throw new InvalidRequestError(`stop[${i}]`, describeValue(text), 'give a string that is not empty');
    }
  });
  return stops;
}
