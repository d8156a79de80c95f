/**
 * Tools and tool choice as the Responses API writes them.
 */

import { z } from 'zod';
import { GRAMMAR_SYNTAXES } from '../../constraint/text-grammar/text-grammar.ts';
import type { ToolDeclaration } from '../../request.ts';
import { badRequest } from '../errors/openai-error.ts';
import { listOf } from './first-fault.ts';
import { customDeclaration, type RequestTools } from './request-tools.ts';
import {
  checkDistinct,
  functionDeclaration,
  functionToDeclaration,
  MAX_TOOLS,
  type RequestedChoice,
  toolName,
} from './tools.ts';

/** Tools that run on OpenAI's machines, or that only its own models know: the model here is not told of them. */
const HOSTED = [
  'web_search',
  'web_search_2025_08_26',
  'web_search_preview',
  'web_search_preview_2025_03_11',
  'file_search',
  'code_interpreter',
  'programmatic_tool_calling',
  'image_generation',
  'computer',
  'computer_use_preview',
  'mcp',
  'tool_search',
  'local_shell',
  'shell',
  'apply_patch',
] as const;

const functionTool = z.object({ type: z.literal('function'), ...functionDeclaration.shape });
const customTool = z.object({
  type: z.literal('custom'),
  name: toolName,
  description: z.string().nullish(),
  format: z
    .discriminatedUnion('type', [
      z.object({ type: z.literal('text') }),
      z.object({ type: z.literal('grammar'), syntax: z.enum(GRAMMAR_SYNTAXES), definition: z.string() }),
    ])
    .nullish(),
});
const namespaceTool = z.object({
  type: z.literal('namespace'),
  name: toolName,
  description: z.string().nullish(),
  tools: listOf(z.discriminatedUnion('type', [functionTool, customTool])),
});

export const responsesTool = z.discriminatedUnion('type', [
  functionTool,
  customTool,
  namespaceTool,
  z.looseObject({ type: z.enum(HOSTED) }),
]);

export const responsesToolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.object({ type: z.enum(['function', 'custom']), name: toolName }),
  z.object({
    type: z.literal('allowed_tools'),
    mode: z.enum(['auto', 'required']),
    tools: listOf(z.looseObject({ type: z.string(), name: z.string().nullish() })),
  }),
]);

type PlainTool = z.output<typeof functionTool> | z.output<typeof customTool>;

/** Where a tool at this place says what its arguments are. */
const schemaField = (tool: PlainTool, place: string): string =>
  `${place}.${tool.type === 'function' ? 'parameters' : 'format.definition'}`;

function declare(tool: PlainTool, place: string): ToolDeclaration {
  if (tool.type === 'function') return functionToDeclaration(tool);
  const grammar = tool.format?.type === 'grammar' ? tool.format : null;
  return customDeclaration(tool.name, tool.description, grammar, schemaField(tool, place));
}

/**
 * The tools of a request, hosted ones left out and namespaces flattened: a function of a namespace keeps its name where
 * no other tool has it, and is `NAMESPACE__NAME` otherwise.
 *
 * @param places Where the request has each tool, such as `tools[0]`.
 * @throws OpenAiError 400 for two tools of one name, for too many, and for grammars that cannot be followed
 */
export function toRequestTools(
  tools: readonly z.output<typeof responsesTool>[],
  places: readonly string[],
): RequestTools {
  const declarations: ToolDeclaration[] = [];
  const declaredAt: string[] = [];
  const custom = new Set<string>();
  const namespaced = new Map<string, { namespace: string; name: string }>();
  const schemaFields = new Map<string, string>();
  const add = (tool: PlainTool, name: string, place: string): void => {
    declarations.push({ ...declare(tool, place), name });
    declaredAt.push(place);
    schemaFields.set(name, schemaField(tool, place));
    if (tool.type === 'custom') custom.add(name);
  };
  const placeOf = (index: number): string => places[index] ?? `tools[${index}]`;
  for (const [index, tool] of tools.entries()) {
    if (tool.type === 'function' || tool.type === 'custom') add(tool, tool.name, placeOf(index));
  }
  const taken = new Set(declarations.map(({ name }) => name));
  for (const [index, space] of tools.entries()) {
    if (space.type !== 'namespace') continue;
    for (const [inner, tool] of space.tools.entries()) {
      const name = taken.has(tool.name) ? `${space.name}__${tool.name}` : tool.name;
      if (!toolName.safeParse(name).success) {
        throw badRequest(
          placeOf(index),
          `Two tools are called ${tool.name} · ${name} is no name · give one a shorter name`,
        );
      }
      taken.add(name);
      namespaced.set(name, { namespace: space.name, name: tool.name });
      add(tool, name, `${placeOf(index)}.tools[${inner}]`);
    }
  }
  checkDistinct(declarations, declaredAt);
  if (declarations.length > MAX_TOOLS) {
    throw badRequest('tools', `Too many tools · found ${declarations.length} · give at most ${MAX_TOOLS}`);
  }
  return { declarations, custom, namespaced, schemaFields };
}

/** The name that the model knows a tool by. */
export function modelName({ namespaced }: RequestTools, name: string, namespace: string | null | undefined): string {
  if (namespace == null) return name;
  for (const [known, origin] of namespaced) if (origin.namespace === namespace && origin.name === name) return known;
  return name;
}

/** The choice in the words of both APIs. Hosted tools that are allowed are as good as left out. */
export function toRequestedChoice(choice: z.output<typeof responsesToolChoice> | null | undefined): RequestedChoice {
  if (choice == null) return 'auto';
  if (typeof choice === 'string') return choice;
  if (choice.type !== 'allowed_tools') return { name: choice.name };
  const allowed = choice.tools.flatMap(({ type, name }) =>
    (type === 'function' || type === 'custom') && name != null ? [name] : [],
  );
  return { mode: choice.mode, allowed };
}
