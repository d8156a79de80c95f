/**
 * The two ways in which checkpoints write harmony. They share every marker and differ in defaults, in where a recipient
 * stands and in how fully tool parameters are declared.
 */

/** How a checkpoint expects its prompts. A plain object: spread it to change a part. */
export interface HarmonyFormat {
  /** The first line of the system message. */
  readonly modelIdentity: string;
  /** The `Knowledge cutoff:` line, `YYYY-MM`. */
  readonly knowledgeCutoff: string;
  /** Where `to=functions.NAME` stands in a tool call: after the role, or after the channel's name. The parser reads both. */
  readonly recipientPlacement: 'role' | 'channel';
  /** `nested` writes whole types; `flat` writes `object` for every nested object and `any` for unions. */
  readonly toolParameters: 'nested' | 'flat';
  /** What follows instructions that nothing else follows in the developer message. */
  readonly instructionsEnd: '' | '\n\n';
}

/** What openai/harmony's own renderer writes for the published gpt-oss-20b and gpt-oss-120b. */
export const PUBLISHED_HARMONY_FORMAT: HarmonyFormat = {
  modelIdentity: 'You are ChatGPT, a large language model trained by OpenAI.',
  knowledgeCutoff: '2024-06',
  recipientPlacement: 'role',
  toolParameters: 'nested',
  instructionsEnd: '',
};

/** What the embedded checkpoint was trained on: the text of its chat_template.jinja. */
export const POCKET_DICTIONARY_FORMAT: HarmonyFormat = {
  modelIdentity: 'You are a pocket dictionary, a small language model in the GPT-OSS style.',
  knowledgeCutoff: '2024-06',
  recipientPlacement: 'channel',
  toolParameters: 'flat',
  instructionsEnd: '\n\n',
};

const COMMENT = /\{#[\s\S]*?#\}/g;
const IDENTITY = /model_identity\s*(?:=|if\s+model_identity\s+is\s+defined\s+else)\s*(["'])(.+?)\1/;
const KNOWLEDGE_CUTOFF = /Knowledge cutoff: (\d{4}-\d{2}(?:-\d{2})?)/;
const RECIPIENT_AFTER_CHANNEL = /<\|channel\|>commentary to=functions\./;
const UNIONS = /\boneOf\b/;

/**
 * The format of a checkpoint, read from the text of its chat_template.jinja: a template without unions that puts the
 * recipient after the channel is of the embedded checkpoint's kind, any other is of the published kind. The recipient's
 * place, the default identity and the knowledge cutoff are the template's own where it states them. The template is not
 * run: it cannot tell user text from markers.
 *
 * @param chatTemplate The template's text, or null if the checkpoint has none: the published format.
 */
export function harmonyFormatOf(chatTemplate: string | null): HarmonyFormat {
  if (chatTemplate === null) return PUBLISHED_HARMONY_FORMAT;
  const template = chatTemplate.replaceAll(COMMENT, '');
  const recipientPlacement = RECIPIENT_AFTER_CHANNEL.test(template) ? 'channel' : 'role';
  const flat = recipientPlacement === 'channel' && !UNIONS.test(template);
  const base = flat ? POCKET_DICTIONARY_FORMAT : PUBLISHED_HARMONY_FORMAT;
  return {
    ...base,
    recipientPlacement,
    modelIdentity: IDENTITY.exec(template)?.[2] ?? base.modelIdentity,
    knowledgeCutoff: KNOWLEDGE_CUTOFF.exec(template)?.[1] ?? base.knowledgeCutoff,
  };
}
