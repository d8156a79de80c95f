/**
 * Reading what the options name: files of messages, tools and texts, and lists of ids.
 */

import { reasonOf } from '../contain.ts';
import { readFile } from 'node:fs/promises';
import type { HarmonyMessage, HarmonyTool } from '@switchyard/models';
import type { ScoreInput } from '../request.ts';
import { UsageError } from './parse-options.ts';

/** A file named by an option cannot be read or does not hold what it should. */
export class InputFileError extends Error {
  override readonly name = 'InputFileError';
  readonly code = 'INPUT_FILE';
  readonly path: string;

  constructor(path: string, found: string, advice: string, cause?: unknown) {
    super(`${path} cannot be used · found ${found} · ${advice}`, cause === undefined ? undefined : { cause });
    this.path = path;
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const found = reasonOf(cause);
    throw new InputFileError(path, found, 'give the path of a readable file', cause);
  }
}

/** A prompt that comes through a pipe, to its end. */
export async function readPrompt(input: NodeJS.ReadableStream): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of input) pieces.push(Buffer.from(piece));
  const bytes = Buffer.concat(pieces);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trimEnd();
  } catch (cause) {
    throw new InputFileError('standard input', 'bytes that are no UTF-8 text', 'pipe the prompt as text', cause);
  }
}

function parseJson(path: string, text: string, place: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new InputFileError(path, `${place} that is no JSON`, 'write valid JSON', cause);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function readObjects(path: string): Promise<Record<string, unknown>[]> {
  const value = parseJson(path, await readText(path), 'text');
  if (!Array.isArray(value) || !value.every(isObject)) {
    throw new InputFileError(path, 'something else than an array of objects', 'write a JSON array of objects');
  }
  return value;
}

const OPENAI_FIELDS = ['tool_calls', 'tool_call_id', 'reasoning', 'reasoning_content'];

/** Whether a message has what only OpenAI's have: its field names, content in parts, or null for none. */
const isOpenAi = (message: Record<string, unknown>): boolean =>
  OPENAI_FIELDS.some((field) => field in message) || message['content'] === null || Array.isArray(message['content']);

/** A JSON array of messages, harmony's or OpenAI's. The engine checks harmony's. */
export async function readMessages(path: string): Promise<HarmonyMessage[]> {
  const messages = await readObjects(path);
  if (messages.length === 0) throw new InputFileError(path, 'no messages', 'give at least one');
  if (!messages.some(isOpenAi)) return messages as unknown as HarmonyMessage[];
  // Loaded when asked for: the schemas belong to the server.
  const { readOpenAiMessages } = await import('../server/schemas/openai-messages.ts');
  try {
    return readOpenAiMessages(messages);
  } catch (error) {
    const found = reasonOf(error);
    throw new InputFileError(path, found, "write the messages as OpenAI's API has them", error);
  }
}

/** A JSON array of tools, plain or in OpenAI's `{type: 'function', function}` shape. */
export async function readTools(path: string): Promise<HarmonyTool[]> {
  const tools = (await readObjects(path)).map((tool) => (isObject(tool['function']) ? tool['function'] : tool));
  tools.forEach((tool, i) => {
    if (typeof tool['name'] !== 'string') throw new InputFileError(path, `tool ${i} without a name`, 'name each tool');
  });
  return tools as unknown as HarmonyTool[];
}

const isIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && (id as number) >= 0);

/** One JSON object a line, with `text` or `ids`. Empty lines are skipped. */
export async function readScoreInputs(path: string): Promise<ScoreInput[]> {
  const inputs: ScoreInput[] = [];
  for (const [i, line] of (await readText(path)).split('\n').entries()) {
    if (line.trim() === '') continue;
    const place = `line ${i + 1}`;
    const value = parseJson(path, line, place);
    const { text, ids } = isObject(value) ? value : {};
    if (text === '' || (Array.isArray(ids) && ids.length === 0)) {
      throw new InputFileError(path, `${place} without tokens`, 'give at least one character or id');
    }
    if (typeof text === 'string') inputs.push({ text });
    else if (isIds(ids)) inputs.push({ ids });
    else throw new InputFileError(path, `${place} without text or ids`, 'give each line a text or an array of ids');
  }
  return inputs;
}

/** `1,2,3` to numbers. Throws UsageError. */
export function parseIds(text: string): number[] {
  return text.split(',').map((word) => {
    const id = Number(word);
    if (word.trim() === '' || !Number.isSafeInteger(id) || id < 0) {
      throw new UsageError(`--prompt-ids is not valid · found ${JSON.stringify(word)} · give ids as 1,2,3`);
    }
    return id;
  });
}
