import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { ask, eventually, finishedTurn, launchOrSkip, openPage, recordMessages } from './browser.ts';
import { SCRIPTED, serve } from '../server/serve-process.ts';
import { scripted, startScriptedServer, untilMetric } from '../server/test-server.ts';

const FINAL = '<|channel|>final<|message|>';
const CHAT = '**/v1/chat/completions';
const LONG = `SLOW ${scripted(FINAL + 'word '.repeat(2000))}`;
const SHORT = scripted(`${FINAL}back again`);

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const refusal = (
  status: number,
  message: string,
  code: string,
): { status: number; contentType: string; body: string } => ({
  status,
  contentType: 'application/json',
  body: JSON.stringify({ error: { message, type: 'some_error', param: null, code } }),
});
const stream = (...events: string[]): { status: number; contentType: string; body: string } => ({
  status: 200,
  contentType: 'text/event-stream',
  body: events.join(''),
});

/** What of the page a person needs to go on. */
async function checkUsable(page: Page): Promise<void> {
  const send = page.getByRole('button', { name: 'Send', exact: true });
  assert.equal(await send.isEnabled(), true);
  assert.equal(await page.getByLabel('your message', { exact: true }).isEditable(), true);
}

describe('the page when a request fails', function () {
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  const faults: string[] = [];

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
    page = await browser.newPage();
    page.on('pageerror', (error) => faults.push(error.message));
  });
  afterEach(async () => {
    // Chromium as one process, as it is here, ends with the first page that is closed.
    await page?.unrouteAll({ behavior: 'ignoreErrors' });
    await page?.goto('about:blank');
    assert.deepEqual(faults, []);
  });
  const open = (url = server.url): Promise<void> => openPage(page, url);
  const field = (): ReturnType<Page['getByLabel']> => page.getByLabel('your message', { exact: true });

  it('lives through a server that is killed in mid-answer, is away at Send, and comes back', async () => {
    const first = await serve(...SCRIPTED);
    try {
      await open(first.url);
      const sent = recordMessages(page);
      await ask(page, LONG);
      await page.getByText('word word').waitFor();
      first.child.kill('SIGKILL');
      const cut = await finishedTurn(page, 0);
      assert.match(await cut.getByRole('alert').innerText(), /broke in the middle .+ stays in the conversation/);
      const part = await cut.locator('.body').innerText();
      assert.match(part, /^(word ?)+$/);
      assert.equal(await field().inputValue(), LONG);
      await page.getByText('the server does not answer').waitFor();
      await checkUsable(page);

      await ask(page, SHORT);
      const refused = await finishedTurn(page, 1);
      assert.match(await refused.getByRole('alert').innerText(), /cannot be reached .+ send it again/);
      assert.equal(await field().inputValue(), SHORT);
      await checkUsable(page);

      const second = await serve(...SCRIPTED, '--port', new URL(first.url).port);
      try {
        await page.getByText('ready', { exact: true }).waitFor();
        await refused.getByRole('button', { name: 'Retry' }).click();
        assert.match(await (await finishedTurn(page, 1)).innerText(), /back again/);
        assert.equal(await page.locator('article[data-role=you]').count(), 2);
        assert.equal(await field().inputValue(), '');
        assert.deepEqual(
          sent.at(-1)?.map(({ role, content }) => [role, content.trim()]),
          [
            ['user', LONG],
            ['assistant', part.trim()],
            ['user', SHORT],
          ],
        );
      } finally {
        second.child.kill('SIGTERM');
        await once(second.child, 'exit');
      }
    } finally {
      first.child.kill('SIGKILL');
    }
  });

  it('sends a stopped answer with the next question, and stops the server', async () => {
    await open();
    const sent = recordMessages(page);
    await ask(page, LONG);
    await page.getByText('word word').waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    const stopped = await finishedTurn(page, 0);
    assert.match(await stopped.getByRole('status').innerText(), /^Stopped · .+ stays in the conversation/);
    assert.equal(await field().inputValue(), '');
    await untilMetric(server, 'vllm:num_requests_running', 0);
    const part = await stopped.locator('.body').textContent();
    await ask(page, SHORT);
    await finishedTurn(page, 1);
    const messages = sent.at(-1)?.map(({ role, content }) => ({ role, content: content.trim() }));
    assert.deepEqual(messages, [
      { role: 'user', content: LONG },
      { role: 'assistant', content: part?.trim() },
      { role: 'user', content: SHORT },
    ]);
  });

  it('keeps the thoughts of an answer that was stopped before its first word', async () => {
    await open();
    const sent = recordMessages(page);
    await ask(page, `SLOW ${scripted(`<|channel|>analysis<|message|>${'think '.repeat(2000)}`)}`);
    await page.locator('.thoughts').waitFor();
    await page.keyboard.press('Escape');
    const stopped = await finishedTurn(page, 0);
    const thoughts = await stopped.locator('.thoughts > .markdown').textContent();
    await ask(page, SHORT);
    await finishedTurn(page, 1);
    const message = sent.at(-1)?.[1] as { role: string; content: string; reasoning: string };
    assert.deepEqual({ role: message.role, content: message.content }, { role: 'assistant', content: '' });
    assert.match(message.reasoning, /^(think ?)+$/);
    assert.equal(message.reasoning.trim(), thoughts?.trim());
  });

  it('gives the message back where it was stopped before anything came', async () => {
    await open();
    const sent = recordMessages(page);
    let hold = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      hold = resolve;
    });
    await page.route(CHAT, () => hold(), { times: 1 });
    await ask(page, 'What is a ship?');
    // A request that is stopped before it is held would leave the next one to be held for good.
    await held;
    await page.getByRole('button', { name: 'Stop' }).click();
    await finishedTurn(page, 0);
    assert.equal(await field().inputValue(), 'What is a ship?');
    await ask(page, SHORT);
    await finishedTurn(page, 1);
    assert.deepEqual(sent.at(-1), [{ role: 'user', content: SHORT }]);
  });

  const answers: Readonly<
    Record<string, { readonly answer: ReturnType<typeof stream>; readonly says: RegExp; readonly part?: string }>
  > = {
    'a request that is not valid': { answer: refusal(400, 'No good · found x', 'bad'), says: /^No good · found x/ },
    'a conversation that is too long': {
      answer: refusal(400, 'Too long', 'context_length_exceeded'),
      says: /^Too long · or begin a new chat/,
    },
    'a full queue': { answer: refusal(429, 'The queue is full', 'queue_full'), says: /^The queue is full/ },
    'a server that shuts down': { answer: refusal(503, 'The server shuts down', 'shutting_down'), says: /shuts down/ },
    "a proxy's page": {
      answer: { status: 502, contentType: 'text/html', body: '<h1>Bad Gateway</h1>' },
      says: /^The server refused .+ HTTP 502/,
    },
    'an empty failure': { answer: { status: 500, contentType: 'text/plain', body: '' }, says: /HTTP 500/ },
    'another page than an answer': {
      answer: { status: 200, contentType: 'text/html', body: '<p>Log in first</p>' },
      says: /^The answer is not whole/,
    },
    'an error before the first word': {
      answer: stream('data: {"error":{"message":"The worker crashed"}}\n\n', 'data: [DONE]\n\n'),
      says: /^The worker crashed/,
    },
    'an error after a part of the answer': {
      answer: stream(
        chunk({ content: 'Half an' }),
        'data: {"error":{"message":"The worker crashed"}}\n\n',
        'data: [DONE]\n\n',
      ),
      says: /^The worker crashed/,
      part: 'Half an',
    },
    'a stream that ends without its end': {
      answer: stream(chunk({ content: 'Half an' }), chunk({ content: ' answer' })),
      says: /^The answer is not whole/,
      part: 'Half an answer',
    },
    'a stream that is cut within an event': {
      answer: stream(chunk({ content: 'Half an' }), chunk({ content: ' answer' }).slice(0, -9)),
      says: /^The answer is not whole/,
      part: 'Half an',
    },
    'an event that is no JSON': {
      answer: stream(chunk({ content: 'Half an' }), 'data: {"choices":\n\n'),
      says: /^The answer cannot be read/,
      part: 'Half an',
    },
  };
  for (const [name, { answer, says, part }] of Object.entries(answers)) {
    it(`says what happened and goes on after ${name}`, async () => {
      await open();
      const sent = recordMessages(page);
      await page.route(CHAT, (route) => route.fulfill(answer), { times: 1 });
      await ask(page, 'What is a ship?');
      const turn = await finishedTurn(page, 0);
      assert.match(await turn.getByRole('alert').innerText(), says);
      assert.equal(await turn.locator('.body').innerText(), part ?? '');
      assert.equal(await field().inputValue(), 'What is a ship?');
      await checkUsable(page);
      await ask(page, SHORT);
      assert.match(await (await finishedTurn(page, 1)).innerText(), /back again/);
      const kept = [
        { role: 'user', content: 'What is a ship?' },
        { role: 'assistant', content: part },
      ];
      assert.deepEqual(sent.at(-1), [...(part === undefined ? [] : kept), { role: 'user', content: SHORT }]);
    });
  }

  it('does not wait for good on a server that falls silent', async () => {
    await page.clock.install();
    await open();
    await page.route(CHAT, () => undefined);
    const asked = page.waitForRequest(CHAT);
    await ask(page, 'What is a ship?');
    await asked;
    await page.clock.fastForward(61_000);
    const turn = await finishedTurn(page, 0);
    assert.match(await turn.getByRole('alert').innerText(), /^The server fell silent/);
    assert.equal(await field().inputValue(), 'What is a ship?');
    await checkUsable(page);
  });

  it('says where an answer was cut at its longest, and keeps it', async () => {
    await open();
    const sent = recordMessages(page);
    const cut = stream(chunk({ content: 'So far' }), chunk({}, 'length'), 'data: [DONE]\n\n');
    await page.route(CHAT, (route) => route.fulfill(cut), { times: 1 });
    await ask(page, 'What is a ship?');
    assert.match(await (await finishedTurn(page, 0)).getByRole('status').innerText(), /^Cut off/);
    await ask(page, SHORT);
    await finishedTurn(page, 1);
    assert.equal(sent.at(-1)?.[1]?.content, 'So far');
  });

  it('answers without the expert load, and takes the state from any answer', async () => {
    await page.route('**/expert-load', (route) => route.abort());
    await page.route('**/health', (route) => route.fulfill({ status: 502, contentType: 'text/html', body: 'no' }), {
      times: 1,
    });
    await open();
    await ask(page, SHORT);
    assert.match(await (await finishedTurn(page, 0)).innerText(), /back again/);
    assert.equal(await page.getByRole('alert').count(), 0);
  });

  it('keeps what is typed while an answer comes, and Return does not stop the answer', async () => {
    await open();
    await ask(page, LONG);
    await page.getByText('word word').waitFor();
    await field().fill('the next question');
    await field().press('Enter');
    // The button of an answer that is stopped says so by and by, but no further words come.
    const body = page.locator('article[data-role=model] .body');
    const { length } = await body.innerText();
    await eventually(async () => (await body.innerText()).length > length + 20 * 'word '.length, true);
    assert.equal(await page.getByRole('button', { name: 'Stop' }).isVisible(), true);
    assert.equal(await page.locator('article[data-role=you]').count(), 1);
    await field().press('Tab');
    await eventually(() => page.getByLabel('reasoning effort').evaluate((element) => element.matches(':focus')), true);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await finishedTurn(page, 0);
    assert.equal(await field().inputValue(), 'the next question');
    await checkUsable(page);
  });

  it('asks for the API key, and again after a wrong one', async () => {
    const guarded = await startScriptedServer({ apiKey: 'secret' });
    try {
      await guarded.ready;
      const keys = ['', 'wrong', 'secret'];
      page.on('dialog', (dialog) => dialog.accept(keys.shift()));
      await open(guarded.url);
      for (const turn of [0, 1]) {
        await ask(page, SHORT);
        const alert = (await finishedTurn(page, turn)).getByRole('alert');
        assert.match(await alert.innerText(), /^The API key is not valid/);
      }
      await page.getByRole('button', { name: 'Retry' }).last().click();
      assert.match(await (await finishedTurn(page, 1)).innerText(), /back again/);
      await ask(page, SHORT);
      assert.match(await (await finishedTurn(page, 2)).innerText(), /back again/);
      assert.deepEqual(keys, []);
    } finally {
      await guarded.close();
    }
  });
});
