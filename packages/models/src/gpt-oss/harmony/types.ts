/**
 * Harmony conversations without the words of any one SDK: what goes into the renderer and what comes out of the parser.
 */

/** How long the model may think: the `Reasoning:` line of the system message. Default `medium`. */
export const REASONING_EFFORTS = ['low', 'medium', 'high'] as const;
export type ReasoningEffort = (typeof REASONING_EFFORTS)[number];

/** The channels a GPT-OSS model is trained on. */
export type HarmonyChannel = 'analysis' | 'commentary' | 'final';

/** A JSON value. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A JSON Schema object. Keywords that the declaration has no words for are ignored. */
export type JsonSchema = { readonly [keyword: string]: JsonValue };

/** A function the model may call. */
export interface HarmonyTool {
  /** 1 to 64 characters out of `A-Z a-z 0-9 _ -`, without the namespace. */
  readonly name: string;
  readonly description?: string;
  /** The JSON Schema of the arguments object. Absent, or without properties: the function takes no arguments. */
  readonly parameters?: JsonSchema;
}

/** A call that the model made. */
export interface HarmonyToolCall {
  /** Ties the call to its result. Harmony itself has no such id: the parser makes one up. */
  readonly id: string;
  /** The tool's name without the namespace. */
  readonly name: string;
  /** The arguments as the model wrote them: JSON if the model did well, and not checked here. `{}` where it wrote none. */
  readonly arguments: string;
}

/** Instructions of the application. `system` and `developer` mean the same: harmony's own system message is made from the settings. */
export interface HarmonyInstructionsMessage {
  readonly role: 'system' | 'developer';
  readonly content: string;
}

export interface HarmonyUserMessage {
  readonly role: 'user';
  readonly content: string;
}

/**
 * One step of the assistant, in the order the parts are rendered: analysis, preamble, tool calls, final content.
 * A step that calls tools usually has no content.
 */
export interface HarmonyAssistantMessage {
  readonly role: 'assistant';
  /** The chain of thought. Rendered only while the turn it belongs to goes on, unless the options say otherwise. */
  readonly analysis?: string;
  /** Commentary for the user that goes before tool calls. */
  readonly preamble?: string;
  readonly toolCalls?: readonly HarmonyToolCall[];
  /** The answer in the final channel. Beside tool calls it is no final answer yet and is rendered as a preamble. */
  readonly content?: string;
}

/** The result of a tool call. */
export interface HarmonyToolMessage {
  readonly role: 'tool';
  /** The tool's name without the namespace: the result is that of its earliest call without one. Not needed beside `toolCallId`. */
  readonly name?: string;
  /** The call that the result belongs to. Without it and without a name, it is the last call. */
  readonly toolCallId?: string;
  readonly content: string;
}

export type HarmonyMessage =
  | HarmonyInstructionsMessage
  | HarmonyUserMessage
  | HarmonyAssistantMessage
  | HarmonyToolMessage;

/** The shape that the final answer should have. */
export interface HarmonyResponseFormat {
  readonly name: string;
  readonly description?: string;
  readonly schema: JsonSchema;
}

/** A conversation with everything that its prompt depends on. */
export interface HarmonyConversation {
  readonly messages: readonly HarmonyMessage[];
  /** Functions the model may call. Default none. */
  readonly tools?: readonly HarmonyTool[];
  /** Default `medium`. */
  readonly reasoningEffort?: ReasoningEffort;
  /** The first line of the system message. Default: the format's, see HarmonyFormat. */
  readonly modelIdentity?: string;
  /** Default: the format's, see HarmonyFormat. */
  readonly knowledgeCutoff?: string;
  /** A JSON Schema for the final answer, told to the model at the end of the developer message. It enforces nothing. */
  readonly responseFormat?: HarmonyResponseFormat;
  /** `YYYY-MM-DD`. Default: today in UTC by the renderer's clock. Give it to keep prompts, and so prefix caches, equal across midnight. */
  readonly currentDate?: string;
}

/** What the header of one parsed message says. */
export interface HarmonyHeader {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  /** The tool's name without the namespace, when the role is `tool` and the name is valid. */
  readonly toolName: string | null;
  readonly channel: HarmonyChannel | null;
  /** The name of the called function without the namespace, or null. Always a valid tool name. */
  readonly recipient: string | null;
  /** What follows `<|constrain|>`, such as `json`. */
  readonly contentType: string | null;
}

/**
 * What a parsed message is for:
 * - `preamble`: commentary for the user, under a header without a fault;
 * - `tool-call`: arguments for the header's recipient, which can be called;
 * - `final`: the answer. A message whose header is faulty or missing is one if nothing follows it;
 * - `prompt`: anything that is not the assistant's: system, developer, user and tool messages;
 * - `analysis`: the chain of thought, and whatever is none of the others: calls of what cannot be called, messages in a
 *   channel that nobody knows, arguments for nobody.
 */
export type HarmonyMessageKind = 'analysis' | 'preamble' | 'tool-call' | 'final' | 'prompt';

/** What the parser read out of one answer of the model. */
export interface HarmonyAnswer {
  /** The analysis messages joined by a newline. */
  readonly analysis: string;
  /** Commentary without a recipient, one entry a message. */
  readonly preambles: readonly string[];
  /** The final messages joined by a newline. */
  readonly final: string;
  readonly toolCalls: readonly HarmonyToolCall[];
  /** The message that had no end token when the stream ended (or has none yet): its text or arguments are cut short. */
  readonly unfinished: HarmonyMessageKind | null;
}
