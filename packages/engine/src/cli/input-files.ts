/**
 * Reading what the options name: files of messages, tools and texts, and lists of ids.
 *
 * @module
 */
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
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new InputFileError(path, found, 'give the path of a readable file', cause);
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

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];

/** A JSON array of harmony messages. */
export async function readMessages(path: string): Promise<HarmonyMessage[]> {
  const messages = await readObjects(path);
  messages.forEach((message, i) => {
    const { role, content } = message;
    if (typeof role !== 'string' || !ROLES.includes(role)) {
      throw new InputFileError(
        path,
        `message ${i} with the role ${JSON.stringify(role)}`,
        `give one of ${ROLES.join(', ')}`,
      );
    }
    if (typeof content !== 'string' && !(role === 'assistant' && content === undefined)) {
      throw new InputFileError(path, `message ${i} without text`, "give each message's content as a string");
    }
  });
  return messages as unknown as HarmonyMessage[];
}

/** A JSON array of tools, plain or in OpenAI's `{type: 'function', function}` shape. */
export async function readTools(path: string): Promise<HarmonyTool[]> {
  const tools = (await readObjects(path)).map((tool) => (isObject(tool['function']) ? tool['function'] : tool));
  tools.forEach((tool, i) => {
    if (typeof tool['name'] !== 'string') throw new InputFileError(path, `tool ${i} without a name`, 'name each tool');
  });
  return tools as unknown as HarmonyTool[];
}

/** One JSON object a line, with `text` or `ids`. Empty lines are skipped. */
export async function readScoreInputs(path: string): Promise<ScoreInput[]> {
  const inputs: ScoreInput[] = [];
  for (const [i, line] of (await readText(path)).split('\n').entries()) {
    if (line.trim() === '') continue;
    const value = parseJson(path, line, `line ${i + 1}`);
    if (isObject(value) && typeof value['text'] === 'string') inputs.push({ text: value['text'] });
    else if (isObject(value) && Array.isArray(value['ids'])) inputs.push({ ids: value['ids'] as number[] });
    else throw new InputFileError(path, `line ${i + 1} without text or ids`, 'give each line one of them');
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
