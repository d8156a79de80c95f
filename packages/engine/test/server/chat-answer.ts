/** What clients get of chat completions, whole and streamed. */

import type OpenAI from 'openai';

/** An answer of either kind, put together. */
export interface ChatAnswer {
  readonly content: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
  readonly finish: string | null;
}

/** OpenAI's package knows nothing of it. */
interface WithReasoning {
  readonly reasoning?: string | null;
}

type ChatRequest = Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, 'stream'>;

/** Asks for an answer as one object. */
export async function wholeAnswer(client: OpenAI, request: ChatRequest): Promise<ChatAnswer> {
  const { choices } = await client.chat.completions.create(request);
  const message = choices[0]?.message;
  const calls = (message?.tool_calls ?? []).map((call) =>
    call.type === 'function' ? call.function : { name: '?', arguments: '?' },
  );
  return {
    content: message?.content ?? '',
    reasoning: (message as WithReasoning | undefined)?.reasoning ?? '',
    calls,
    finish: choices[0]?.finish_reason ?? null,
  };
}

/** Asks for an answer in pieces. */
export async function streamedAnswer(client: OpenAI, request: ChatRequest): Promise<ChatAnswer> {
  const read = { content: '', reasoning: '', calls: [] as { name: string; arguments: string }[], finish: '' };
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
    const [choice] = chunk.choices;
    read.content += choice?.delta.content ?? '';
    read.reasoning += (choice?.delta as WithReasoning | undefined)?.reasoning ?? '';
    read.finish = choice?.finish_reason ?? read.finish;
    for (const { index, function: piece } of choice?.delta.tool_calls ?? []) {
      const call = (read.calls[index] ??= { name: '', arguments: '' });
      call.name += piece?.name ?? '';
      call.arguments += piece?.arguments ?? '';
    }
  }
  return read;
}
