import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { main } from '../../src/cli/main.ts';

/** A chat whose screen is watched: `onWrite` is called with everything written so far, after each write. */
class WatchedChat {
  screen = '';
  complaints = '';
  readonly input = new PassThrough();
  readonly #earlier = process.listeners('SIGINT');
  readonly #exit: Promise<number>;

  constructor(words: readonly string[], onWrite: (chat: WatchedChat) => void) {
    const output = new Writable({
      decodeStrings: false,
      write: (chunk: string, _encoding, done) => {
        this.screen += chunk;
        done();
        onWrite(this);
      },
    });
    const error = new PassThrough();
    error.setEncoding('utf8').on('data', (text: string) => {
      this.complaints += text;
    });
    this.#exit = main(['chat', ...words], { input: this.input, output, error, color: false });
  }

  /** Types a line once the chat, which is writing its prompt, waits for one. */
  say(line: string): void {
    setImmediate(() => this.input.write(`${line}\n`));
  }

  /** What Ctrl-C does; only the chat's own handlers hear of it, for mocha has one too. */
  interrupt(): void {
    const own = process.listeners('SIGINT').filter((listener) => !this.#earlier.includes(listener));
    assert.equal(own.length, 1);
    own[0]?.('SIGINT');
  }

  /** The exit code, once no handler is left behind. */
  async end(): Promise<number> {
    const code = await this.#exit;
    assert.deepEqual(process.listeners('SIGINT'), this.#earlier);
    return code;
  }
}

describe('switchyard chat', () => {
  it('keeps the conversation and ends with its input', async () => {
    const questions = ['What is 17 + 25?', 'What is 10 + 5?'];
    const chat = new WatchedChat(['--seed', '1', '--temperature', '0'], (current) => {
      if (!current.screen.endsWith('> ')) return;
      const question = questions.shift();
      if (question === undefined) setImmediate(() => current.input.end());
      else current.say(question);
    });
    assert.equal(await chat.end(), 0);
    const answers = chat.screen.split('> ').slice(1);
    assert.match(answers[0] ?? '', /\n42\n$/);
    assert.match(answers[1] ?? '', /\n15\n$/);
  });

  it('shows calls, takes their results, and answers from them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'switchyard-chat-'));
    const tools = join(folder, 'tools.json');
    const parameters = {
      type: 'object',
      properties: { location: { type: 'string', description: 'The location to get the weather for' } },
      required: ['location'],
    };
    const description = 'Get the weather for a given location';
    await writeFile(tools, JSON.stringify([{ name: 'get_weather', description, parameters }]));
    const lines = ["What's the weather in Paris?", '{"temperature": 21, "condition": "sunny"}'];
    const chat = new WatchedChat(['--temperature', '0', '--tools', tools], (current) => {
      if (!current.screen.endsWith('> ')) return;
      const line = lines.shift();
      if (line === undefined) setImmediate(() => current.input.end());
      else current.say(line);
    });
    assert.equal(await chat.end(), 0);
    await rm(folder, { recursive: true });
    assert.match(
      chat.screen,
      /^> .*\nget_weather\(\{"location":"Paris"\}\)\nresult of get_weather> [\s\S]*21[\s\S]*\n> \n$/,
    );
  });

  it('starts anew where the conversation has become too long', async () => {
    const lines = ['word '.repeat(140_000), 'What is 17 + 25?'];
    const chat = new WatchedChat([], (current) => {
      if (!current.screen.endsWith('> ')) return;
      const line = lines.shift();
      if (line === undefined) setImmediate(() => current.input.end());
      else current.say(line);
    });
    assert.equal(await chat.end(), 0);
    assert.match(chat.complaints, /too long .*\[CONTEXT_LENGTH_EXCEEDED\]\nThe conversation starts anew\.\n$/);
    assert.match(chat.screen, /\n42\n> \n$/);
  });

  it('stops the answer at the first Ctrl-C, takes another question, and ends at Ctrl-C before an answer', async () => {
    let interrupts = 0;
    let asked = 0;
    const chat = new WatchedChat(['--seed', '1', '--temperature', '0'], (current) => {
      const { screen } = current;
      if (screen.endsWith('> ')) {
        asked++;
        if (asked === 1) current.say('What is a lighthouse?');
        else if (asked === 2) current.say('What is 17 + 25?');
        else setImmediate(() => current.interrupt());
      } else if (asked === 1 && interrupts === 0 && screen.length > '> '.length) {
        interrupts++;
        current.interrupt();
      }
    });
    assert.equal(await chat.end(), 0);
    const answers = chat.screen.split('> ').slice(1);
    assert.match(answers[0] ?? '', / \[stopped\]\n$/);
    assert.match(answers[1] ?? '', /\n42\n$/);
    assert.equal(asked, 3);
    assert.equal(interrupts, 1);
  });
});
