/** What every client's tool loop has in common: the question, the tool, and what the last prompt has to be. */

import assert from 'node:assert/strict';
import { z } from 'zod';
import type { RunningServer } from '../../src/server/start-server.ts';
import { echoed, scripted } from '../server/test-server.ts';

/** One client's way through a loop. */
export interface ToolLoop {
  readonly name: string;
  /**
   * Throws where a step goes wrong.
   *
   * @param echoes Whether the last answer is its own prompt, which is then checked; a short one otherwise.
   */
  readonly run: (server: RunningServer, echoes: boolean) => Promise<void>;
}

export const MODEL = 'scripted';
export const THOUGHT = 'I look it up.';
const PREAMBLE = 'One moment.';
export const QUESTION = scripted(
  `<|channel|>analysis<|message|>${THOUGHT}<|end|>` +
    `<|start|>assistant<|channel|>commentary<|message|>${PREAMBLE}<|end|>` +
    '<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location":"Paris"}<|call|>',
);
/** Makes the model answer with its prompt, in hexadecimal digits. */
const ECHO = 'ECHO PROMPT';
const SHORT = 'It is 21 degrees.';
export const DESCRIPTION = 'Get the weather for a given location';
export const PARAMETERS = {
  type: 'object' as const,
  properties: { location: { type: 'string' } },
  required: ['location'],
  additionalProperties: false,
};
export const LOCATION = z.object({ location: z.string() });

/** The tool, and the places that it was asked for. */
export class Weather {
  readonly asked: string[] = [];
  readonly echoes: boolean;

  constructor(echoes: boolean) {
    this.echoes = echoes;
  }

  readonly execute = ({ location }: { readonly location: string }): string => {
    this.asked.push(location);
    return this.echoes ? ECHO : scripted(`<|channel|>final<|message|>${SHORT}`);
  };
}

/** Checks the last prompt: the call with its result behind it, and the thought and the preamble before, where the client sends them back. */
export function checkAnswer(answer: string, { asked, echoes }: Weather, thought = THOUGHT): void {
  assert.deepEqual(asked, ['Paris']);
  if (!echoes) {
    assert.equal(answer, SHORT);
    return;
  }
  assert.match(answer, /^[\da-f]+$/);
  const prompt = echoed(answer);
  const expected = [
    ...(thought === '' ? [] : [`<|channel|>analysis<|message|>${thought}<|end|>`]),
    `<|channel|>commentary<|message|>${PREAMBLE}<|end|>`,
    'to=functions.get_weather',
    '{"location":"Paris"}<|call|>',
    '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>',
    ECHO,
  ];
  let from = prompt.indexOf('<|start|>user');
  for (const piece of expected) {
    const at = prompt.indexOf(piece, from);
    assert.ok(at >= from, `${piece} is not in its place in ${prompt}`);
    from = at + piece.length;
  }
}
