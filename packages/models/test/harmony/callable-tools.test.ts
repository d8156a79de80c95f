import assert from 'node:assert/strict';
import { calledTool, type HarmonyAnswer, HarmonyParser, parseAnswer } from '../../src/gpt-oss/harmony/index.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';

const tokenizer = new ByteTokenizer();
const DECLARED = ['bash', 'search', 'python_tool'];

function read(
  text: string,
  tools: readonly string[],
): Pick<HarmonyAnswer, 'analysis' | 'final' | 'preambles'> & {
  calls: string[];
} {
  const ids = tokenizer.encodeWithSpecialTokens(text);
  const { analysis, final, preambles, toolCalls } = parseAnswer(ids, tokenizer, { tools: new Set(tools) });
  return { analysis, final, preambles, calls: toolCalls.map(({ name, arguments: args }) => `${name} ${args}`) };
}

/** Headers that call `bash`, as models write them. */
const CALLS_OF_BASH: readonly string[] = [
  '<|channel|>commentary to=functions.bash <|constrain|>json',
  '<|channel|>commentary to=bash',
  '<|channel|>commentary to=functions.functions.bash json',
  '<|channel|>commentary to=repo.bash code',
  '<|channel|>analysis to=bash code',
  '<|channel|>to=functions.bash',
  ' to=functions.bash<|channel|>commentary<|constrain|>json',
  '<|start|>bash<|channel|>commentary',
  '<|start|>bash<|channel|>commentary<|constrain|>json',
  '<|start|>functions.bash<|channel|>commentary',
  '<|start|>functions.bash<|channel|>analysis code',
  '<|start|>assistant to=functions.bash<|channel|>commentary json',
];

/** Headers of calls that cannot be, whatever is declared beside. */
const NO_CALLS: readonly string[] = [
  '<|channel|>analysis to=python code',
  '<|channel|>commentary to=browser.search code',
  '<|channel|>commentary to=functions.browser.search code',
  '<|channel|>commentary to=container.bash code',
  '<|channel|>commentary to=functions.unheard_of <|constrain|>json',
  '<|channel|>commentary <|constrain|>json',
  '<|channel|>commentary to= json',
  '<|start|>unheard_of<|channel|>commentary',
  '<|start|>functions.unheard_of<|channel|>commentary',
];

describe('a call can be what the application has declared, and nothing else', () => {
  for (const header of CALLS_OF_BASH) {
    it(`a call: ${header}`, () => {
      const answer = `${header}<|message|>{"cmd":"ls"}<|call|>`;
      assert.deepEqual(read(answer, DECLARED), {
        analysis: '',
        final: '',
        preambles: [],
        calls: ['bash {"cmd":"ls"}'],
      });
      // Without the declaration it is no call, and no word of it is shown.
      assert.deepEqual(read(answer, ['search']), { analysis: '{"cmd":"ls"}', final: '', preambles: [], calls: [] });
    });
  }

  for (const header of NO_CALLS) {
    it(`no call: ${header}`, () => {
      const answer = `${header}<|message|>{"cmd":"ls"}<|call|>`;
      for (const tools of [[], DECLARED]) {
        assert.deepEqual(read(answer, tools), { analysis: '{"cmd":"ls"}', final: '', preambles: [], calls: [] });
      }
    });
  }

  it('a bare python is the function of that name, where there is one', () => {
    const answer = '<|channel|>analysis to=python code<|message|>print(1)<|call|>';
    assert.deepEqual(read(answer, ['python']).calls, ['python print(1)']);
    assert.equal(read(answer, []).analysis, 'print(1)');
  });

  it("a tool's result that the model makes up is no call", () => {
    const answer = '<|start|>functions.bash to=assistant<|channel|>commentary<|message|>done<|end|>';
    assert.deepEqual(read(answer, DECLARED), { analysis: '', final: '', preambles: [], calls: [] });
  });

  it('a call without arguments has an empty object, and one that was cut short has what there is', () => {
    for (const blank of ['', ' ', '\n']) {
      const [call] = parseAnswer(
        tokenizer.encodeWithSpecialTokens(`<|channel|>commentary to=bash json<|message|>${blank}<|call|>`),
        tokenizer,
      ).toolCalls;
      assert.deepEqual(JSON.parse(call?.arguments ?? ''), {});
    }
    const parser = new HarmonyParser(tokenizer);
    for (const id of tokenizer.encodeWithSpecialTokens('<|channel|>commentary to=bash json<|message|>'))
      parser.push(id);
    parser.finish();
    assert.equal(parser.answer().toolCalls[0]?.arguments, '');
  });

  it('is told of a header alone as of the stream', () => {
    for (const header of CALLS_OF_BASH) {
      const started = header.startsWith('<|start|>');
      const text = started ? header.slice('<|start|>'.length) : header;
      assert.equal(calledTool(text, started ? null : 'assistant', new Set(DECLARED)), 'bash', header);
    }
    for (const header of NO_CALLS) {
      const started = header.startsWith('<|start|>');
      const text = started ? header.slice('<|start|>'.length) : header;
      assert.equal(calledTool(text, started ? null : 'assistant', new Set(DECLARED)), null, header);
    }
  });
});
