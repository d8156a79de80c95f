/**
 * From a request to what its answer is held to.
 */

import { harmonyFormatOf } from '@switchyard/models';
import { InvalidRequestError, UnsupportedError } from '../errors.ts';
import type { GenerateRequest, ResponseFormat, ToolChoice, ToolDeclaration } from '../request.ts';
import { describeValue } from '../check-values.ts';
import { type AnswerConstraintSpec, enforcedSchemas, needsConstraint } from '../constraint/answer-constraint.ts';
import { textSchema } from '../constraint/text-grammar/text-schema.ts';
import { checkSchemaLimits } from './schema-limits.ts';

/**
 * The specification for the worker; null where any answer will do.
 *
 * @param chatTemplate The checkpoint's: it tells where headers name their recipient.
 * @throws InvalidRequestError where a tool is demanded that the request does not have, UnsupportedError for a response
 * format on a prompt that is no conversation
 */
export function answerConstraintOf(request: GenerateRequest, chatTemplate: string | null): AnswerConstraintSpec | null {
  const { tools = [], messages, toolChoice = 'auto', responseFormat = { type: 'text' } } = request;
  const finalJson = finalJsonOf(responseFormat);
  if (messages === undefined) {
    if (finalJson === null) return null;
    throw new UnsupportedError('A response format for a raw prompt', 'give messages instead');
  }
  const spec: AnswerConstraintSpec = {
    toolChoice: checkToolChoice(
      toolChoice,
      tools.map(({ name }) => name),
    ),
    tools: tools.map((tool) => ({ name: tool.name, strict: tool.strict ?? false, schema: schemaOf(tool) })),
    finalJson,
    recipientPlacement: harmonyFormatOf(chatTemplate).recipientPlacement,
  };
  if (!needsConstraint(spec)) return null;
  for (const [field, schema] of enforcedSchemas(spec)) if (schema !== null) checkSchemaLimits(field, schema);
  return spec;
}

function schemaOf({ parameters, inputGrammar }: ToolDeclaration): string | null {
  if (inputGrammar !== undefined) return textSchema(inputGrammar);
  return parameters === undefined ? null : JSON.stringify(parameters);
}

function finalJsonOf(format: ResponseFormat): AnswerConstraintSpec['finalJson'] {
  switch (format.type) {
    case 'text':
      return null;
    case 'json-object':
      return { schema: null };
    case 'json-schema':
      return { schema: JSON.stringify(format.schema) };
    default:
      return format satisfies never;
  }
}

function checkToolChoice(choice: ToolChoice, names: readonly string[]): ToolChoice {
  if (choice === 'auto' || choice === 'none') return choice;
  if (choice === 'required') {
    if (names.length > 0) return choice;
    throw new InvalidRequestError('toolChoice', "'required' without tools", 'give at least one tool');
  }
  if (typeof choice === 'object' && choice !== null && names.includes(choice.name)) return choice;
  throw new InvalidRequestError('toolChoice', describeValue(choice), 'name one of the tools');
}
