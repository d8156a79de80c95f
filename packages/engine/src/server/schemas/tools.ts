/**
 * Tools, tool choice, response format and reasoning effort: what the APIs of conversations share.
 */

import type { JsonValue, ReasoningEffort } from '@switchyard/models';
import { z } from 'zod';
import type { ResponseFormat, ToolChoice, ToolDeclaration } from '../../request.ts';
import { badRequest } from '../errors/openai-error.ts';

/** Tools of one request, at most. */
export const MAX_TOOLS = 128;

/** A function's name. */
export const toolName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'names are 1 to 64 of A-Z a-z 0-9 _ -');

/** Any JSON object: the schema of a tool's arguments or of the answer. */
export const jsonObject = z.record(
  z.string(),
  z.custom<JsonValue>(() => true),
);

/** `{name, description, parameters}`; chat nests it under `function`, responses does not. */
export const functionDeclaration = z.object({
  name: toolName,
  description: z.string().nullish(),
  parameters: jsonObject.nullish(),
  strict: z.boolean().nullish(),
});

/** Every spelling that clients use; GPT-OSS itself knows three. */
export const reasoningEffort = z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);

const schemaFormat = z.object({
  name: toolName.nullish(),
  description: z.string().nullish(),
  schema: jsonObject,
  strict: z.boolean().nullish(),
});

export const chatResponseFormat = z.union([
  z.object({ type: z.literal('text') }),
  // vLLM takes a schema beside it.
  z.object({ type: z.literal('json_object'), schema: jsonObject.nullish() }),
  z.object({ type: z.literal('json_schema'), json_schema: schemaFormat }),
]);
export const responsesTextFormat = z.union([
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object'), schema: jsonObject.nullish() }),
  schemaFormat.extend({ type: z.literal('json_schema') }),
]);

/** A function as harmony declares it. */
export function functionToDeclaration({
  name,
  description,
  parameters,
  strict,
}: z.output<typeof functionDeclaration>): ToolDeclaration {
  return {
    name,
    ...(description != null ? { description } : {}),
    ...(parameters != null ? { parameters } : {}),
    ...(strict === true ? { strict } : {}),
  };
}

/**
 * Two tools of one name would be one to the model.
 *
 * @param places Where the request has each of them.
 * @throws OpenAiError 400
 */
export function checkDistinct(declarations: readonly ToolDeclaration[], places: readonly string[]): void {
  const seen = new Set<string>();
  for (const [index, { name }] of declarations.entries()) {
    if (seen.has(name))
      throw badRequest(places[index] ?? 'tools', `Two tools are called ${name} · give each its own name`);
    seen.add(name);
  }
}

/** Any API's choice: a mode, one tool, or a mode for some of the tools. */
export type RequestedChoice =
  | 'none'
  | 'auto'
  | 'required'
  | { readonly name: string }
  | { readonly allowed: readonly string[]; readonly mode: 'auto' | 'required' };

/**
 * The tools that the model is told of, and which of them it may or must call. Tools that are not allowed are left out of
 * the prompt.
 *
 * @throws OpenAiError 400 where a tool is demanded or allowed that is not there.
 */
export function chooseTools(
  choice: RequestedChoice,
  declarations: readonly ToolDeclaration[],
): { readonly tools?: readonly ToolDeclaration[]; readonly toolChoice: ToolChoice } {
  const check = (name: string, verb: string): void => {
    if (declarations.some((tool) => tool.name === name)) return;
    const names = declarations.map((tool) => tool.name).join(', ') || 'none';
    throw badRequest('tool_choice', `tool_choice ${verb} ${name} · found the tools ${names} · name one of them`);
  };
  let tools = declarations;
  let toolChoice: ToolChoice;
  if (typeof choice === 'object' && 'allowed' in choice) {
    for (const name of choice.allowed) check(name, 'allows');
    tools = declarations.filter(({ name }) => choice.allowed.includes(name));
    toolChoice = choice.mode;
  } else {
    if (typeof choice === 'object') check(choice.name, 'names');
    toolChoice = choice;
  }
  if (toolChoice === 'required' && tools.length === 0) {
    throw badRequest('tool_choice', 'tool_choice is "required" · found no tools · give at least one, or choose "auto"');
  }
  return { ...(tools.length > 0 ? { tools } : {}), toolChoice };
}

/** GPT-OSS cannot switch reasoning off: the lowest effort is `low`. */
export function toReasoningEffort(effort: z.output<typeof reasoningEffort>): ReasoningEffort {
  if (effort === 'none' || effort === 'minimal') return 'low';
  if (effort === 'xhigh' || effort === 'max') return 'high';
  return effort;
}

/** The engine's format for any API's. */
export function toResponseFormat(
  format:
    | { type: 'text' }
    | { type: 'json_object'; schema?: z.output<typeof jsonObject> | null | undefined }
    | ({ type: 'json_schema' } & z.output<typeof schemaFormat>),
): ResponseFormat {
  if (format.type === 'json_schema') {
    const { name, description, schema } = format;
    return {
      type: 'json-schema',
      schema,
      ...(name != null ? { name } : {}),
      ...(description != null ? { description } : {}),
    };
  }
  if (format.type === 'text') return { type: 'text' };
  return format.schema == null ? { type: 'json-object' } : { type: 'json-schema', schema: format.schema };
}
