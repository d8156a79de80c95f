/**
 * Tools, tool choice, response format and reasoning effort: what chat completions and responses share.
 *
 * @module
 */
import type { HarmonyTool, JsonValue, ReasoningEffort } from '@switchyard/models';
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

const functionType = z.literal('function', 'only tools of type "function" are supported');
export const chatTool = z.object({ type: functionType, function: functionDeclaration });
export const responsesTool = z.object({ type: functionType, ...functionDeclaration.shape });

export const chatToolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.object({ type: z.literal('function'), function: z.object({ name: toolName }) }),
]);
export const responsesToolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.object({ type: z.literal('function'), name: toolName }),
]);

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
  z.object({ type: z.literal('json_object') }),
  z.object({ type: z.literal('json_schema'), json_schema: schemaFormat }),
]);
export const responsesTextFormat = z.union([
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  schemaFormat.extend({ type: z.literal('json_schema') }),
]);

/** Tools as harmony declares them. Two tools of one name would be one to the model. */
export function toHarmonyTools(declarations: readonly z.output<typeof functionDeclaration>[]): ToolDeclaration[] {
  const seen = new Set<string>();
  return declarations.map(({ name, description, parameters, strict }, index) => {
    if (seen.has(name)) throw badRequest(`tools[${index}]`, `Two tools are called ${name} · give each its own name`);
    seen.add(name);
    return {
      name,
      ...(description != null ? { description } : {}),
      ...(parameters != null ? { parameters } : {}),
      ...(strict === true ? { strict } : {}),
    };
  });
}

/** @throws OpenAiError 400 where a tool is demanded that is not there. */
export function toToolChoice(
  choice: 'none' | 'auto' | 'required' | { name: string },
  tools: readonly HarmonyTool[],
): ToolChoice {
  if (choice === 'required' && tools.length === 0) {
    throw badRequest('tool_choice', 'tool_choice is "required" · found no tools · give at least one, or choose "auto"');
  }
  if (typeof choice === 'object' && !tools.some((tool) => tool.name === choice.name)) {
    const names = tools.map((tool) => tool.name).join(', ') || 'none';
    throw badRequest('tool_choice', `tool_choice names ${choice.name} · found the tools ${names} · name one of them`);
  }
  return choice;
}

/** GPT-OSS cannot switch reasoning off: the lowest effort is `low`. */
export function toReasoningEffort(effort: z.output<typeof reasoningEffort>): ReasoningEffort {
  if (effort === 'none' || effort === 'minimal') return 'low';
  if (effort === 'xhigh' || effort === 'max') return 'high';
  return effort;
}

/** The engine's format for either API's. */
export function toResponseFormat(
  format: { type: 'text' } | { type: 'json_object' } | ({ type: 'json_schema' } & z.output<typeof schemaFormat>),
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
  return format.type === 'json_object' ? { type: 'json-object' } : { type: 'text' };
}
