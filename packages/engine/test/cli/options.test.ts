import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readMessages, readTools } from '../../src/cli/input-files.ts';
import { COMMANDS, type CommandRow } from '../../src/cli/option-table.ts';
import { parseOptions, UsageError } from '../../src/cli/parse-options.ts';
import { conversationOptions, engineOptions, samplingOptions } from '../../src/cli/request-options.ts';

function commandOf(name: string): CommandRow {
  const command = COMMANDS.find((row) => row.name === name);
  assert.ok(command);
  return command;
}

describe('options of the command line', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-options-'));
  });
  after(() => rm(folder, { recursive: true }));

  const file = async (content: unknown): Promise<string> => {
    const path = join(folder, 'input.json');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };

  it('become what the engine takes', async () => {
    const tool = { name: 'f', description: 'does it', parameters: { type: 'object' } };
    const words = [
      '--router cpu --expert-precision int4 --threads 3 --reasoning high --date 2026-11-23 --max-tokens 7',
      '--temperature 0.5 --top-p 0.9 --top-k 40 --min-p 0.05 --seed 11 --stop END --tools',
    ];
    const path = await file([tool, { type: 'function', function: { ...tool, name: 'g' } }]);
    for (const name of ['generate', 'chat']) {
      const values = parseOptions(commandOf(name), [...words.join(' ').split(' '), path]);
      assert.deepEqual(engineOptions(values), { router: 'cpu', expertPrecision: 'int4', threads: 3 });
      assert.deepEqual(await conversationOptions(values), {
        reasoningEffort: 'high',
        currentDate: '2026-11-23',
        tools: [tool, { ...tool, name: 'g' }],
      });
      assert.deepEqual(samplingOptions(values), {
        maxTokens: 7,
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.05,
        seed: 11,
        stop: 'END',
      });
    }
    const none = parseOptions(commandOf('generate'), []);
    assert.deepEqual([engineOptions(none), await conversationOptions(none), samplingOptions(none)], [{}, {}, {}]);
  });

  it('that are left out are looked for in the environment, checked like those that are given', () => {
    const named = COMMANDS.flatMap(({ options }) => options).filter(({ variable }) => variable !== undefined);
    assert.deepEqual(
      [...new Set(named.map(({ variable = '' }) => variable))].sort((a, b) => a.localeCompare(b)),
      ['API_KEY', 'HOST', 'LOG_LEVEL', 'MODEL', 'PORT'].map((name) => `SWITCHYARD_${name}`),
    );
    const serve = commandOf('serve');
    const environment = { SWITCHYARD_MODEL: '/models/a', SWITCHYARD_PORT: '81', SWITCHYARD_HOST: ' ' };
    const values = parseOptions(serve, ['--model', '/models/b'], environment);
    assert.deepEqual([values.text('model'), values.number('port'), values.text('host')], ['/models/b', 81, undefined]);
    assert.equal(parseOptions(serve, [], environment).text('model'), '/models/a');
    for (const [variable, value] of [
      ['SWITCHYARD_PORT', '65536'],
      ['SWITCHYARD_PORT', 'http'],
      ['SWITCHYARD_LOG_LEVEL', 'loud'],
    ] as const) {
      assert.throws(
        () => parseOptions(serve, [], { [variable]: value }),
        (error) =>
          error instanceof UsageError && error.message.startsWith(`${variable} is not valid · found "${value}"`),
      );
    }
  });

  it('stand beside words where a command takes some, and nowhere else', () => {
    for (const command of COMMANDS) {
      const words = ['What', '--help', 'is', 'it?'];
      if (command.words === undefined) assert.throws(() => parseOptions(command, words, {}), UsageError, command.name);
      else assert.equal(parseOptions(command, words, {}).words, 'What is it?');
    }
    assert.equal(parseOptions(commandOf('generate'), ['--', '--model'], {}).words, '--model');
    assert.equal(parseOptions(commandOf('generate'), [], {}).words, undefined);
  });

  it('are held to the ranges that the help tells', () => {
    for (const command of COMMANDS) {
      for (const { name, type, minimum, aboveMinimum, maximum, choices } of command.options) {
        const parse = (value: string): unknown => {
          const values = parseOptions(command, [`--${name}=${value}`]);
          return values.number(name) ?? values.text(name);
        };
        if (type === 'flag') {
          assert.throws(() => parse('x'), UsageError);
          continue;
        }
        assert.throws(() => parse(''), UsageError, `${command.name} --${name}`);
        if (type === 'choice') {
          for (const choice of choices ?? []) assert.equal(parse(choice), choice);
          assert.throws(() => parse('other'), /give one of/);
        } else if (type === 'date') {
          assert.equal(parse('2026-11-23'), '2026-11-23');
          for (const wrong of ['today', '2026-1-1', '23.11.2026']) assert.throws(() => parse(wrong), /YYYY-MM-DD/);
        } else if (type !== 'text') {
          assert.ok(minimum !== undefined, `${name} has no minimum`);
          if (aboveMinimum === true) assert.throws(() => parse(String(minimum)), /above/);
          else assert.equal(parse(String(minimum)), minimum);
          for (const wrong of [String(minimum - 1), 'many', 'NaN', 'Infinity', '1e999', ' ']) {
            assert.throws(() => parse(wrong), UsageError, `${name} ${wrong}`);
          }
          if (type === 'integer') assert.throws(() => parse('1.5'), /an integer/);
          if (maximum === undefined) continue;
          assert.equal(parse(String(maximum)), maximum);
          assert.throws(() => parse(String(maximum + 1)), new RegExp(`to ${maximum} *$`));
        }
      }
    }
  });

  it("read messages in harmony's shape and in OpenAI's", async () => {
    const harmony = [
      { role: 'user', content: 'weather?' },
      { role: 'assistant', analysis: 'hm', toolCalls: [{ id: '1', name: 'f', arguments: '{}' }] },
      { role: 'tool', toolCallId: '1', content: 'fine' },
    ];
    assert.deepEqual(await readMessages(await file(harmony)), harmony);
    const openai = [
      { role: 'user', content: [{ type: 'text', text: 'weather?' }] },
      {
        role: 'assistant',
        content: null,
        reasoning: 'hm',
        tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: '1', content: 'fine' },
    ];
    assert.deepEqual(await readMessages(await file(openai)), harmony);
  });

  it('name what is wrong in a file', async () => {
    const wrong: readonly (readonly [content: unknown, message: RegExp])[] = [
      ['{', /text that is no JSON/],
      [{}, /something else than an array of objects/],
      [[1], /something else than an array of objects/],
      [[], /no messages/],
      [[{ role: 'tool', tool_call_id: '7', content: 'x' }], /belongs to no call/],
      [[{ role: 'pirate', content: null }], /messages\[0\]\.role/],
      [[{ role: 'user', content: [{ type: 'image_url' }] }], /messages\[0\]\.content\[0\]\.type · only text parts/],
    ];
    for (const [content, message] of wrong) {
      await assert.rejects(readMessages(await file(content)), (error) => {
        assert.ok(error instanceof Error && 'code' in error);
        assert.equal(error.code, 'INPUT_FILE');
        assert.match(error.message, message);
        return true;
      });
    }
    await assert.rejects(readTools(await file([{ description: 'x' }])), /tool 0 without a name/);
    await assert.rejects(readTools(join(folder, 'nothing')), /give the path of a readable file/);
  });
});
