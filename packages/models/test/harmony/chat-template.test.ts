import assert from 'node:assert/strict';
import { Template } from '@huggingface/jinja';
import * as fc from 'fast-check';
import {
  type HarmonyConversation,
  harmonyFormatOf,
  POCKET_DICTIONARY_FORMAT,
  PUBLISHED_HARMONY_FORMAT,
  renderConversation,
} from '../../src/gpt-oss/harmony/index.ts';
import { conversations, plainText } from './arbitrary-conversation.ts';
import { chatTemplate, pocketTokenizer as tokenizer } from './pocket-dictionary.ts';

// The template library has a clock of its own that cannot be replaced from outside.
const template = new Template(chatTemplate.replace('strftime_now("%Y-%m-%d")', 'current_date'));

function textOfTemplate(conversation: HarmonyConversation, addGenerationPrompt: boolean): string {
  return template.render({
    messages: conversation.messages.map((message) =>
      message.role === 'assistant'
        ? {
            role: message.role,
            content: message.content ?? '',
            ...(message.analysis === undefined ? {} : { thinking: message.analysis }),
            ...(message.toolCalls === undefined
              ? {}
              : { tool_calls: message.toolCalls.map(({ name, arguments: args }) => ({ name, arguments: args })) }),
          }
        : { ...message },
    ),
    tools: conversation.tools ?? [],
    add_generation_prompt: addGenerationPrompt,
    current_date: conversation.currentDate,
    ...(conversation.reasoningEffort === undefined ? {} : { reasoning_effort: conversation.reasoningEffort }),
    ...(conversation.modelIdentity === undefined ? {} : { model_identity: conversation.modelIdentity }),
  });
}

describe("the renderer and the checkpoint's chat template", () => {
  const format = harmonyFormatOf(chatTemplate);

  it('agree on any conversation and tools, in text and in ids', () => {
    fc.assert(
      fc.property(conversations(plainText), fc.boolean(), (conversation, addGenerationPrompt) => {
        const expected = textOfTemplate(conversation, addGenerationPrompt);
        const ids = renderConversation(conversation, tokenizer, { format, addGenerationPrompt });
        assert.equal(tokenizer.decode(ids), expected);
        assert.deepEqual(ids, tokenizer.encodeWithSpecialTokens(expected));
      }),
      { numRuns: 300 },
    );
  });

  it('read the format of the embedded checkpoint out of its template', () => {
    assert.deepEqual(format, POCKET_DICTIONARY_FORMAT);
  });

  it('take any other template, and none, for the published format', () => {
    assert.deepEqual(harmonyFormatOf(null), PUBLISHED_HARMONY_FORMAT);
    const other =
      '{#- "model_identity": "a comment" -#}{%- if model_identity is not defined %}\n' +
      "{%- set model_identity = 'You are a sailor.' %}{%- endif %}" +
      '{{- model_identity + "\\nKnowledge cutoff: 2025-01\\n" }}';
    assert.deepEqual(harmonyFormatOf(other), {
      ...PUBLISHED_HARMONY_FORMAT,
      modelIdentity: 'You are a sailor.',
      knowledgeCutoff: '2025-01',
    });
  });

  it('know a published template that puts the recipient after the channel', () => {
    const unions = `{% if spec.oneOf %}{% endif %}{{- "<|channel|>commentary to=functions." + name }}`;
    assert.deepEqual(harmonyFormatOf(unions), { ...PUBLISHED_HARMONY_FORMAT, recipientPlacement: 'channel' });
  });
});
