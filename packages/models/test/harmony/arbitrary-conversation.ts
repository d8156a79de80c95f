import * as fc from 'fast-check';
import type { HarmonyConversation, HarmonyMessage, HarmonyTool, JsonSchema } from '../../src/gpt-oss/harmony/index.ts';

export const toolName = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

/** Texts with everything in them but whole markers. */
export const plainText = fc
  .oneof(
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('', ' x ', 'a\n\nb', '\uFEFFbom', '{"a": 1}', '👩‍🚀'),
  )
  .filter((text) => !/<\|\w+\|>/.test(text));
const someText = plainText.filter((text) => text !== '');
/** What people (and attackers) write: markers spelled out, among other things. */
export const anyText = fc.oneof(
  plainText,
  fc
    .array(
      fc.oneof(
        plainText,
        fc.constantFrom('<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|call|>', '<|return|>'),
      ),
    )
    .map((parts) => parts.join('')),
);

const scalar = fc.oneof(fc.integer(), fc.boolean(), fc.constant(null), someText);
/** Schemas out of the words that the chat template knows, and some that it calls `any`. */
const propertySchema: fc.Arbitrary<JsonSchema> = fc.letrec<{ schema: JsonSchema }>((tie) => ({
  schema: fc.record(
    {
      type: fc.constantFrom('string', 'number', 'integer', 'boolean', 'object', 'array', 'null'),
      description: plainText,
      enum: fc.array(fc.oneof(fc.integer(), fc.boolean(), someText), { maxLength: 3 }),
      default: fc.oneof(
        scalar,
        fc.array(fc.integer(), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom('k', 'l'), fc.integer()),
      ),
      items: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.constant({ type: 'string' }), tie('schema')),
    },
    // The template library trips over an absent type or items, and over a list of types.
    { requiredKeys: ['type', 'items'] },
  ) as fc.Arbitrary<JsonSchema>,
})).schema;

const propertyName = fc.stringMatching(/^[a-z_]{1,8}$/).filter((name) => name !== '__proto__');
const parameters: fc.Arbitrary<JsonSchema> = fc
  .dictionary(propertyName, propertySchema, { maxKeys: 4, noNullPrototype: true })
  .chain((properties) =>
    fc.subarray(Object.keys(properties)).map((required): JsonSchema => ({ type: 'object', properties, required })),
  );

export const tools: fc.Arbitrary<HarmonyTool[]> = fc.uniqueArray(
  fc.record({ name: toolName, description: plainText, parameters }, { requiredKeys: ['name', 'description'] }),
  { selector: (tool) => tool.name, maxLength: 3 },
);

/** Turns of a user and an assistant, with tool loops, that every renderer has words for. */
export function turns(text: fc.Arbitrary<string>): fc.Arbitrary<HarmonyMessage[]> {
  const filled = text.filter((value) => value !== '');
  // Blank arguments are rendered as {}.
  const args = text.filter((value) => value.trim() !== '');
  const loop = fc.record({
    analysis: filled,
    calls: fc.array(fc.tuple(toolName, args, text), { minLength: 1, maxLength: 2 }),
  });
  const turn = fc.record({
    question: text,
    loops: fc.array(loop, { maxLength: 2 }),
    analysis: fc.option(filled, { nil: undefined }),
    answer: fc.option(text, { nil: undefined }),
  });
  return fc.array(turn, { minLength: 1, maxLength: 3 }).map((list) => {
    let calls = 0;
    return list.flatMap(({ question, loops, analysis, answer }): HarmonyMessage[] => [
      { role: 'user', content: question },
      ...loops.flatMap((step): HarmonyMessage[] => {
        const toolCalls = step.calls.map(([name, args]) => ({ id: `call-${(calls += 1)}`, name, arguments: args }));
        return [
          { role: 'assistant', analysis: step.analysis, toolCalls },
          ...step.calls.map(([name, , content], index): HarmonyMessage => {
            const toolCallId = toolCalls[index]?.id ?? '';
            return { role: 'tool', name, toolCallId, content };
          }),
        ];
      }),
      ...(answer === undefined
        ? []
        : [{ role: 'assistant' as const, ...(analysis === undefined ? {} : { analysis }), content: answer }]),
    ]);
  });
}

/** Whole conversations, with instructions, tools and settings. */
export function conversations(text: fc.Arbitrary<string>): fc.Arbitrary<HarmonyConversation> {
  return fc
    .record({
      instructions: fc.option(fc.tuple(fc.constantFrom('system' as const, 'developer' as const), text), {
        nil: undefined,
      }),
      turns: turns(text),
      tools,
      reasoningEffort: fc.constantFrom('low' as const, 'medium' as const, 'high' as const),
      modelIdentity: fc.option(text, { nil: undefined }),
      currentDate: fc.constantFrom('2026-11-23', '2031-01-02'),
    })
    .map(({ instructions, turns: list, modelIdentity, ...settings }) => ({
      ...settings,
      ...(modelIdentity === undefined ? {} : { modelIdentity }),
      messages: [...(instructions === undefined ? [] : [{ role: instructions[0], content: instructions[1] }]), ...list],
    }));
}
