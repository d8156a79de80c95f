import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { scripted, startScriptedServer } from '../server/test-server.ts';
import {
  ask,
  eventually,
  finishedTurn,
  framesDrawn,
  launchOrSkip,
  openNewPage,
  recordProblems,
  recordRequests,
  reloadPage,
} from './browser.ts';

const FINAL = '<|channel|>final<|message|>';
const TOOLS = [
  {
    type: 'function',
    function: { name: 'look_up', parameters: { type: 'object', properties: { word: { type: 'string' } } } },
  },
];

describe('settings of the page', function () {
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  let problems: string[];

  before(async function () {
    browser = await launchOrSkip(this);
    server = await startScriptedServer();
    await server.ready;
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    problems = recordProblems(page);
    await openNewPage(page, server.url);
  });
  afterEach(async () => {
    assert.deepEqual(problems, []);
    await page?.goto('about:blank');
  });
  const open = (): Promise<void> => page.getByRole('button', { name: 'Settings' }).click();
  const save = (): Promise<void> => page.getByRole('button', { name: 'Save' }).click();

  it('go into requests, and are there again after the page was left', async () => {
    const sent = recordRequests(page);
    const question = scripted(`${FINAL}yes`);
    await ask(page, question);
    await finishedTurn(page, 0);
    assert.deepEqual(sent[0], {
      messages: [{ role: 'user', content: question }],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0,
      reasoning_effort: 'medium',
    });

    await open();
    await page.getByLabel(/^Temperature/).fill('0.7');
    await page.getByLabel(/^Longest answer/).fill('50');
    await page.getByLabel('System prompt').fill('Be brief.');
    await page.getByLabel(/^Tools/).fill(JSON.stringify(TOOLS));
    await save();
    await page.getByLabel('reasoning effort').selectOption('high');
    await reloadPage(page);
    await ask(page, question);
    await finishedTurn(page, 0);
    assert.deepEqual(sent[1], {
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: question },
      ],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.7,
      max_completion_tokens: 50,
      reasoning_effort: 'high',
      tools: TOOLS,
    });
  });

  it('are not saved where they are cancelled, or no settings', async () => {
    await open();
    await page.getByLabel(/^Temperature/).fill('1.5');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await open();
    await eventually(() => page.getByLabel(/^Temperature/).inputValue(), '0');
    for (const [tools, says] of [
      ['[{', /^The tools are no JSON/],
      ['{"type":"function"}', /^The tools are no list of functions/],
      ['[{"type":"web_search"}]', /^The tools are no list of functions/],
    ] as const) {
      await page.getByLabel(/^Tools/).fill(tools);
      await save();
      await eventually(() => page.locator('#tools-error').innerText(), says);
      assert.equal(await page.locator('#settings').isVisible(), true);
    }
    await page.getByLabel(/^Tools/).fill('');
    await page.getByLabel(/^Temperature/).fill('3');
    await save();
    await framesDrawn(page);
    assert.equal(await page.locator('#settings').isVisible(), true);
    await page.keyboard.press('Escape');
  });

  it('outlive what another version of the page stored', async () => {
    const stored = '{"temperature":"hot","effort":"maximal","tools":"x","theme":1}';
    await page.evaluate(`localStorage.setItem('settings', ${JSON.stringify(stored)})`);
    await reloadPage(page);
    const sent = recordRequests(page);
    await ask(page, scripted(`${FINAL}yes`));
    await finishedTurn(page, 0);
    assert.equal(sent[0]?.['temperature'], 0);
    assert.equal(sent[0]?.['reasoning_effort'], 'medium');
    assert.equal(sent[0]?.['tools'], undefined);
  });

  it('choose the colours', async () => {
    const ground = (): Promise<string> =>
      page
        .locator('body')
        .evaluate((body) => body.ownerDocument.defaultView?.getComputedStyle(body).backgroundColor ?? '');
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await ground();
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await ground();
    assert.notEqual(dark, light);
    for (const [theme, expected] of [
      ['dark', dark],
      ['light', light],
      ['system', light],
    ] as const) {
      await open();
      await page.getByLabel('Colours').selectOption(theme);
      await save();
      await eventually(async () => [theme, await ground()], [theme, expected]);
    }
  });

  it('show the calls of tools as they come, and send the results that a person writes', async () => {
    const sent = recordRequests(page);
    await open();
    await page.getByLabel(/^Tools/).fill(JSON.stringify(TOOLS));
    await save();
    const call = (word: string): string =>
      `<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>{"word":"${word}"}`;
    await ask(page, scripted(`<|channel|>analysis<|message|>hm<|end|><|start|>assistant${call('ship')}<|call|>`));
    const turn = await finishedTurn(page, 0);
    assert.match(await turn.locator('.call').innerText(), /Called look_up\s+\{\s+"word": "ship"\s+\}/);
    await turn.getByLabel('result of look_up').fill('a vessel');
    await turn.getByRole('button', { name: 'Send results' }).click();
    // The scripted model says the same again: its last message is still the one that it is told to say.
    await finishedTurn(page, 1);
    assert.match(await page.locator('.result').innerText(), /a vessel/);
    const [, assistant, tool] = sent[1]?.messages ?? [];
    const calls = (assistant as unknown as { tool_calls: { id: string; type: string; function: object }[] }).tool_calls;
    assert.deepEqual(
      calls.map(({ type, function: called }) => ({ type, called })),
      [{ type: 'function', called: { name: 'look_up', arguments: '{"word":"ship"}' } }],
    );
    assert.equal((assistant as unknown as { reasoning: string }).reasoning, 'hm');
    assert.deepEqual(tool, { role: 'tool', tool_call_id: calls[0]?.id, content: 'a vessel' });
  });
});
