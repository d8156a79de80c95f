/**
 * Harmony, the conversation format of GPT-OSS: rendering to token ids and streaming parsing.
 */

export { type HarmonyFormat, harmonyFormatOf, POCKET_DICTIONARY_FORMAT, PUBLISHED_HARMONY_FORMAT } from './format.ts';
export { calledTool } from './header.ts';
export { HarmonyParser, LONGEST_HARMONY_HEADER } from './parse.ts';
export type * from './parser-events.ts';
export { parseAnswer, parseMessages, toConversationMessages } from './read-conversation.ts';
export { renderAnswerPrefix, renderConversation, type RenderOptions } from './render.ts';
export { type HarmonyTokens, harmonyTokens } from './special-tokens.ts';
export { declareTools } from './tool-declarations.ts';
export { isToolName } from './tool-name.ts';
export { REASONING_EFFORTS } from './types.ts';
export type * from './types.ts';
