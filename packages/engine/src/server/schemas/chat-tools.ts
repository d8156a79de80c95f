/**
 * Tools, calls and tool choice as chat completions write them.
 */

import type { HarmonyToolCall } from '@switchyard/models';
import { z } from 'zod';
import { GRAMMAR_SYNTAXES } from '../../constraint/text-grammar/text-grammar.ts';
import { listOf } from './first-fault.ts';
import { argumentsOf, customDeclaration, type RequestTools } from './request-tools.ts';
import { checkDistinct, functionDeclaration, functionToDeclaration, type RequestedChoice, toolName } from './tools.ts';

const customFormat = z.union([
  z.object({ type: z.literal('text') }),
  z.object({
    type: z.literal('grammar'),
    grammar: z.object({ syntax: z.enum(GRAMMAR_SYNTAXES), definition: z.string() }),
  }),
]);

export const chatTool = z.discriminatedUnion('type', [
  z.object({ type: z.literal('function'), function: functionDeclaration }),
  z.object({
    type: z.literal('custom'),
    custom: z.object({ name: toolName, description: z.string().nullish(), format: customFormat.nullish() }),
  }),
]);

const namedTool = z.discriminatedUnion('type', [
  z.object({ type: z.literal('function'), function: z.object({ name: toolName }) }),
  z.object({ type: z.literal('custom'), custom: z.object({ name: toolName }) }),
]);

export const chatToolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  namedTool,
  z.object({
    type: z.literal('allowed_tools'),
    allowed_tools: z.object({ mode: z.enum(['auto', 'required']), tools: listOf(namedTool) }),
  }),
]);

/** A call in the history. */
export const chatToolCall = z.union([
  z.object({
    id: z.string(),
    type: z.literal('function').nullish(),
    function: z.object({ name: toolName, arguments: z.string() }),
  }),
  z.object({ id: z.string(), type: z.literal('custom'), custom: z.object({ name: toolName, input: z.string() }) }),
]);

/** The tools of a request. @throws OpenAiError 400 for two of one name */
export function toRequestTools(tools: readonly z.output<typeof chatTool>[]): RequestTools {
  const schemaFields = new Map<string, string>();
  const declarations = tools.map((tool, index) => {
    if (tool.type === 'function') {
      schemaFields.set(tool.function.name, `tools[${index}].function.parameters`);
      return functionToDeclaration(tool.function);
    }
    const { name, description, format } = tool.custom;
    const field = `tools[${index}].custom.format.grammar.definition`;
    schemaFields.set(name, field);
    return customDeclaration(name, description, format?.type === 'grammar' ? format.grammar : null, field);
  });
  checkDistinct(
    declarations,
    tools.map((_, index) => `tools[${index}]`),
  );
  const custom = tools.flatMap((tool) => (tool.type === 'custom' ? [tool.custom.name] : []));
  return { declarations, custom: new Set(custom), namespaced: new Map(), schemaFields };
}

const nameOf = (tool: z.output<typeof namedTool>): string =>
  tool.type === 'function' ? tool.function.name : tool.custom.name;

/** The choice in the words of both APIs. */
export function toRequestedChoice(choice: z.output<typeof chatToolChoice> | null | undefined): RequestedChoice {
  if (choice == null) return 'auto';
  if (typeof choice === 'string') return choice;
  if (choice.type !== 'allowed_tools') return { name: nameOf(choice) };
  const { mode, tools } = choice.allowed_tools;
  return { mode, allowed: tools.map(nameOf) };
}

/** A call as harmony has it. */
export function toHarmonyCall(call: z.output<typeof chatToolCall>): HarmonyToolCall {
  if ('custom' in call) return { id: call.id, name: call.custom.name, arguments: argumentsOf(call.custom.input) };
  return { id: call.id, name: call.function.name, arguments: call.function.arguments };
}
