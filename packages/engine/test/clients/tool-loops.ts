/**
 * Whole tool loops through the clients that people use: a question, a call with a thought and a preamble before it, the
 * tool's result, and an answer. The scripted model answers with the prompt of its last step, so that every loop is
 * checked for what the model got to read.
 */

import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { createOpenAI } from '@ai-sdk/openai';
import { HumanMessage, ToolMessage, type AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { Agent, OpenAIProvider, Runner, tool as agentTool } from '@openai/agents';
import { generateText, stepCountIs, streamText, tool as aiTool } from 'ai';
import type OpenAI from 'openai';
import { clientOf } from '../server/test-server.ts';
import {
  checkAnswer,
  DESCRIPTION,
  LOCATION,
  MODEL,
  PARAMETERS,
  QUESTION,
  THOUGHT,
  type ToolLoop,
  Weather,
} from './tool-loop.ts';

function openAiChat(stream: boolean): ToolLoop {
  return {
    name: `openai, chat completions, runTools${stream ? ', streamed' : ''}`,
    run: async (server, echoes) => {
      const weather = new Weather(echoes);
      const request = {
        model: MODEL,
        messages: [{ role: 'user' as const, content: QUESTION }],
        tools: [
          {
            type: 'function' as const,
            function: {
              name: 'get_weather',
              description: DESCRIPTION,
              parameters: PARAMETERS,
              parse: (text: string) => JSON.parse(text) as { location: string },
              function: weather.execute,
            },
          },
        ],
      };
      const { completions } = clientOf(server).chat;
      const runner = stream
        ? completions.runTools({ ...request, stream: true })
        : completions.runTools({ ...request, stream: false });
      // The client's own loop leaves out what it does not know.
      checkAnswer((await runner.finalContent()) ?? '', weather, '');
    },
  };
}

function openAiResponses(kept: 'by id' | 'by the client, sealed', stream: boolean): ToolLoop {
  return {
    name: `openai, responses, the conversation kept ${kept}${stream ? ', streamed' : ''}`,
    run: async (server, echoes) => {
      const client = clientOf(server);
      const weather = new Weather(echoes);
      const stored = kept === 'by id';
      const request = {
        model: MODEL,
        store: stored,
        tools: [{ type: 'function', name: 'get_weather', parameters: PARAMETERS, strict: true }],
        ...(stored ? {} : { include: ['reasoning.encrypted_content'] }),
      } satisfies Partial<OpenAI.Responses.ResponseCreateParams>;
      const ask = async (body: Partial<OpenAI.Responses.ResponseCreateParams>): Promise<OpenAI.Responses.Response> =>
        stream
          ? await client.responses
              .stream({ ...request, ...body } as Parameters<typeof client.responses.stream>[0])
              .finalResponse()
          : await client.responses.create({ ...request, ...body } as OpenAI.Responses.ResponseCreateParamsNonStreaming);
      const first = await ask({ input: QUESTION });
      const results = first.output.flatMap((item): OpenAI.Responses.ResponseInputItem[] =>
        item.type === 'function_call'
          ? [
              {
                type: 'function_call_output',
                call_id: item.call_id,
                output: weather.execute(JSON.parse(item.arguments) as { location: string }),
              },
            ]
          : [],
      );
      // What a client that may not keep thoughts sends back.
      const output = first.output.map((item) => (item.type === 'reasoning' ? { ...item, content: [] } : item));
      const second = stored
        ? await ask({ previous_response_id: first.id, input: results })
        : await ask({
            input: [
              { role: 'user', content: QUESTION },
              ...(output as OpenAI.Responses.ResponseInputItem[]),
              ...results,
            ],
          });
      checkAnswer(second.output_text, weather);
    },
  };
}

function aiSdk(api: 'responses' | 'responses without store' | 'chat', stream: boolean): ToolLoop {
  return {
    name: `ai with @ai-sdk/openai, ${api}${stream ? ', streamed' : ''}`,
    run: async (server, echoes) => {
      const weather = new Weather(echoes);
      const provider = createOpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' });
      const options = {
        model: api === 'chat' ? provider.chat(MODEL) : provider(MODEL),
        prompt: QUESTION,
        tools: {
          get_weather: aiTool({
            description: DESCRIPTION,
            inputSchema: LOCATION,
            execute: async (input: { location: string }) => weather.execute(input),
          }),
        },
        stopWhen: stepCountIs(5),
        maxRetries: 0,
        ...(api === 'responses without store'
          ? {
              providerOptions: {
                openai: { store: false, include: ['reasoning.encrypted_content' as const], forceReasoning: true },
              },
            }
          : {}),
      };
      let text: string;
      if (stream) {
        const result = streamText({ ...options, onError: () => undefined });
        for await (const part of result.fullStream) if (part.type === 'error') throw part.error;
        text = await result.text;
      } else {
        ({ text } = await generateText(options));
      }
      // Chat completions have no place for thoughts in this client.
      checkAnswer(text, weather, api === 'chat' ? '' : THOUGHT);
    },
  };
}

function langchain(useResponsesApi: boolean, stream: boolean): ToolLoop {
  return {
    name: `@langchain/openai, ${useResponsesApi ? 'responses' : 'chat completions'}${stream ? ', streamed' : ''}`,
    run: async (server, echoes) => {
      const weather = new Weather(echoes);
      const lookup = langchainTool(async (input: { location: string }) => weather.execute(input), {
        name: 'get_weather',
        description: DESCRIPTION,
        schema: LOCATION,
      });
      const model = new ChatOpenAI({
        model: MODEL,
        apiKey: 'none',
        maxRetries: 0,
        useResponsesApi,
        configuration: { baseURL: `${server.url}/v1` },
      }).bindTools([lookup]);
      const ask = async (messages: BaseMessage[]): Promise<AIMessageChunk> => {
        if (!stream) return await model.invoke(messages);
        let whole: AIMessageChunk | null = null;
        for await (const chunk of await model.stream(messages)) whole = whole === null ? chunk : whole.concat(chunk);
        assert.ok(whole !== null);
        return whole;
      };
      const messages: BaseMessage[] = [new HumanMessage(QUESTION)];
      const first = await ask(messages);
      messages.push(first);
      for (const call of first.tool_calls ?? []) {
        const content = await lookup.invoke(call.args as { location: string });
        messages.push(new ToolMessage({ content, tool_call_id: call.id ?? '' }));
      }
      const { text } = await ask(messages);
      checkAnswer(text, weather, useResponsesApi ? THOUGHT : '');
    },
  };
}

function openAiAgents(useResponses: boolean, stream: boolean): ToolLoop {
  return {
    name: `@openai/agents, ${useResponses ? 'responses' : 'chat completions'}${stream ? ', streamed' : ''}`,
    run: async (server, echoes) => {
      const weather = new Weather(echoes);
      const lookup = agentTool({
        name: 'get_weather',
        description: DESCRIPTION,
        parameters: LOCATION,
        execute: async (input) => weather.execute(input),
      });
      const agent = new Agent({ name: 'weather', model: MODEL, tools: [lookup] });
      const modelProvider = new OpenAIProvider({ openAIClient: clientOf(server), useResponses });
      const runner = new Runner({ modelProvider, tracingDisabled: true });
      if (stream) {
        const result = await runner.run(agent, QUESTION, { stream: true });
        for await (const _event of result) void _event;
        await result.completed;
        checkAnswer(String(result.finalOutput), weather);
      } else {
        checkAnswer(String((await runner.run(agent, QUESTION)).finalOutput), weather);
      }
    },
  };
}

function anthropic(stream: boolean): ToolLoop {
  return {
    name: `@anthropic-ai/sdk${stream ? ', streamed' : ''}`,
    run: async (server, echoes) => {
      const weather = new Weather(echoes);
      const client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
      const ask = async (messages: Anthropic.MessageParam[]): Promise<Anthropic.Message> => {
        const request: Anthropic.MessageCreateParamsNonStreaming = {
          model: MODEL,
          max_tokens: 20_000,
          thinking: { type: 'enabled', budget_tokens: 1024 },
          tools: [{ name: 'get_weather', description: DESCRIPTION, input_schema: PARAMETERS }],
          messages,
        };
        return stream ? await client.messages.stream(request).finalMessage() : await client.messages.create(request);
      };
      const messages: Anthropic.MessageParam[] = [{ role: 'user', content: QUESTION }];
      const first = await ask(messages);
      assert.equal(first.stop_reason, 'tool_use');
      messages.push({ role: 'assistant', content: first.content });
      const results = first.content.flatMap((block): Anthropic.ToolResultBlockParam[] =>
        block.type === 'tool_use'
          ? [
              {
                type: 'tool_result',
                tool_use_id: block.id,
                content: weather.execute(block.input as { location: string }),
              },
            ]
          : [],
      );
      messages.push({ role: 'user', content: results });
      const second = await ask(messages);
      assert.equal(second.stop_reason, 'end_turn');
      checkAnswer(second.content.map((block) => (block.type === 'text' ? block.text : '')).join(''), weather);
    },
  };
}

/** Every client, streamed and not. */
export const TOOL_LOOPS: readonly ToolLoop[] = [false, true].flatMap((stream) => [
  openAiChat(stream),
  openAiResponses('by id', stream),
  openAiResponses('by the client, sealed', stream),
  aiSdk('responses', stream),
  aiSdk('responses without store', stream),
  aiSdk('chat', stream),
  langchain(true, stream),
  langchain(false, stream),
  openAiAgents(true, stream),
  openAiAgents(false, stream),
  anthropic(stream),
]);
