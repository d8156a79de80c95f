import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { scripted, startScriptedServer } from '../server/test-server.ts';
import {
  answerWith,
  ask,
  eventually,
  finishedTurn,
  launchOrSkip,
  openNewPage,
  openPage,
  recordMessages,
  recordProblems,
  reloadPage,
  storedTexts,
} from './browser.ts';

const FINAL = '<|channel|>final<|message|>';
const say = (text: string): string => scripted(FINAL + text);
const LONG = `SLOW ${say('word '.repeat(2000))}`;

/** How far the conversation is scrolled once it has come to rest: what a wheel scrolls goes on for some frames. */
function scrolledTo(page: Page): Promise<number> {
  return page.evaluate<number>(`new Promise((resolve) => {
    const log = document.getElementById('log');
    const look = (last, still) => {
      const now = log.scrollTop;
      if (now === last && still === 10) resolve(now);
      else requestAnimationFrame(() => look(now, now === last ? still + 1 : 0));
    };
    look(log.scrollTop, 0);
  })`);
}

describe('conversations of the page', function () {
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
    // Chromium as one process, as it is here, ends with the first page that is closed.
    await page?.goto('about:blank');
  });
  const titles = (): Promise<string[]> => page.locator('.conversation').allTextContents();
  const texts = (): Promise<string[]> => page.locator('#turns .text, #turns .body').allInnerTexts();
  const said = async (answer: string, question = `please ${say(answer)}`): Promise<string> => {
    const turn = await page.locator('article[data-role=model]').count();
    await ask(page, question);
    await finishedTurn(page, turn);
    return question;
  };

  it('are kept, listed with the latest first, and gone on with after the page was left', async () => {
    const first = await said('one');
    await page.getByRole('button', { name: 'New chat', exact: true }).click();
    await page.locator('#empty').waitFor();
    const second = await said('two', `other ${say('two')}`);
    assert.deepEqual(
      (await titles()).map((title) => title.slice(0, 5)),
      ['other', 'pleas'],
    );

    // A page that is left takes with it what it has not yet written.
    await eventually(
      async () => new Set((await storedTexts(page)).map(([, answer]) => answer)),
      new Set(['one', 'two']),
    );
    await reloadPage(page);
    assert.deepEqual(
      (await titles()).map((title) => title.slice(0, 5)),
      ['other', 'pleas'],
    );
    await page.locator('.conversation').nth(1).click();
    await eventually(texts, [first, 'one']);
    const sent = recordMessages(page);
    const third = await said('three');
    assert.deepEqual(sent, [
      [
        { role: 'user', content: first },
        { role: 'assistant', content: 'one' },
        { role: 'user', content: third },
      ],
    ]);
    assert.deepEqual(
      (await titles()).map((title) => title.slice(0, 5)),
      ['pleas', 'other'],
    );
    await page.locator('.conversation').nth(1).click();
    await eventually(texts, [second, 'two']);
  });

  it('are deleted when a person says so, and only then', async () => {
    await said('one');
    page.once('dialog', (dialog) => void dialog.dismiss());
    await page.getByRole('button', { name: /^Delete please/ }).click();
    assert.equal((await storedTexts(page)).length, 1);
    assert.equal((await titles()).length, 1);
    page.once('dialog', (dialog) => void dialog.accept());
    await page.getByRole('button', { name: /^Delete please/ }).click();
    await page.locator('#empty').waitFor();
    await page.locator('.conversation').waitFor({ state: 'detached' });
    await reloadPage(page);
    assert.deepEqual(await titles(), []);
  });

  it('lose nothing when another one is opened in mid-answer', async () => {
    await ask(page, LONG);
    await page.getByText('word word').waitFor();
    await page.getByRole('button', { name: 'New chat', exact: true }).click();
    await page.locator('#empty').waitFor();
    await page.getByRole('button', { name: 'Send', exact: true }).waitFor();
    await page.locator('.conversation').first().click();
    const turn = await finishedTurn(page, 0);
    assert.match(await turn.locator('.body').innerText(), /^word word/);
    assert.match(await turn.getByRole('status').innerText(), /^Stopped/);
  });

  it('keep the beginning of an answer that the page was left in', async () => {
    await ask(page, LONG);
    await page.getByText('word word').waitFor();
    await eventually(async () => (await storedTexts(page))[0]?.[1] ?? '', /^word word/);
    await reloadPage(page);
    await page.locator('.conversation').first().click();
    const turn = await finishedTurn(page, 0);
    assert.match(await turn.locator('.body').innerText(), /^word word/);
    assert.match(await turn.getByRole('status').innerText(), /^The page was left/);
  });

  it('have their last answer made anew by Retry', async () => {
    const first = await said('one');
    const question = await said('two');
    const sent = recordMessages(page);
    await answerWith(page, 'another two');
    await page.getByRole('button', { name: 'Retry' }).last().click();
    await finishedTurn(page, 1);
    assert.deepEqual(await texts(), [first, 'one', question, 'another two']);
    assert.deepEqual(sent[0], [
      { role: 'user', content: first },
      { role: 'assistant', content: 'one' },
      { role: 'user', content: question },
    ]);
    assert.equal((await titles()).length, 1);
  });

  it('have their last question changed by Edit', async () => {
    const first = await said('one');
    await said('two');
    await page.getByRole('button', { name: 'Edit your message' }).last().click();
    const changed = `changed ${say('changed too')}`;
    await page.getByLabel('edited message').fill(changed);
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await page.getByText('changed').count(), 0);
    await page.getByRole('button', { name: 'Edit your message' }).last().click();
    await page.getByLabel('edited message').fill(changed);
    await page.getByRole('button', { name: 'Send edit' }).click();
    await finishedTurn(page, 1);
    assert.deepEqual(await texts(), [first, 'one', changed, 'changed too']);
    assert.equal((await titles()).length, 1);
  });

  it('are copied where an earlier message is changed or tried again, so that no later one is lost', async () => {
    const first = await said('one');
    const second = await said('two');
    await answerWith(page, 'one again');
    await page.getByRole('button', { name: 'Retry' }).first().click();
    await finishedTurn(page, 0);
    await page.locator('.body', { hasText: 'one again' }).waitFor();
    assert.deepEqual(await texts(), [first, 'one again']);
    assert.equal((await titles()).length, 2);
    await page.locator('.conversation').nth(1).click();
    await eventually(texts, [first, 'one', second, 'two']);

    await page.getByRole('button', { name: 'Edit your message' }).first().click();
    const changed = `begins anew ${say('zero')}`;
    await page.getByLabel('edited message').fill(changed);
    await page.getByRole('button', { name: 'Send edit' }).click();
    await finishedTurn(page, 0);
    await page.locator('.body', { hasText: 'zero' }).waitFor();
    assert.deepEqual(await texts(), [changed, 'zero']);
    assert.equal((await titles()).length, 3);
  });

  it('live as long as the page where the browser keeps nothing', async () => {
    const closed = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await closed.addInitScript(
      `IDBFactory.prototype.open = () => { throw new DOMException('closed', 'SecurityError'); };`,
    );
    await openPage(closed, server.url);
    await closed.getByText('This browser keeps nothing').waitFor();
    await ask(closed, say('still there'));
    assert.match(await (await finishedTurn(closed, 0)).innerText(), /still there/);
    assert.equal(await closed.locator('.conversation').count(), 1);
  });

  for (const [where, clipboard] of [
    ['where the browser lets the page', '(text) => { globalThis.copied = text; return Promise.resolve(); }'],
    ['by a selection where it does not', "() => Promise.reject(new DOMException('no', 'NotAllowedError'))"],
  ] as const) {
    it(`are copied, as is their code, without anything around it, ${where}`, async () => {
      await page.evaluate(`navigator.clipboard.writeText = ${clipboard}`);
      await page.evaluate(
        `document.addEventListener('copy', () => { globalThis.copied = document.activeElement.value; })`,
      );
      const copied = (): Promise<unknown> => page.evaluate('globalThis.copied');
      const answer = '# Title\n\n```js\nconst one = 1;\n\n<b>two</b>\n```\n\nend';
      const question = await said(answer);
      for (const [button, text] of [
        [page.locator('.copy-code'), 'const one = 1;\n\n<b>two</b>\n'],
        [page.getByRole('button', { name: 'Copy the answer' }), answer],
        [page.getByRole('button', { name: 'Copy your message' }), question],
      ] as const) {
        await button.focus();
        // It says so for a moment only.
        const says = page.getByText('Copied', { exact: true }).waitFor();
        await Promise.all([says, button.press('Enter')]);
        assert.equal(await copied(), text);
        assert.equal(await button.evaluate((element) => element.ownerDocument.activeElement === element), true);
        await page.getByText('Copied', { exact: true }).waitFor({ state: 'hidden' });
      }
    });
  }

  it('are left where a person reads while an answer comes, and followed again at their end', async () => {
    // More than come before it is stopped, on a busy machine too.
    const lines = Array.from({ length: 600 }, (_, line) => `line ${line}\n\n`).join('');
    await ask(page, `SLOW ${say(lines)}`);
    const log = page.locator('#log');
    const top = (): Promise<number> => log.evaluate((element) => element.scrollTop);
    const place = async (): Promise<string> => {
      const distance = await log.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
      return distance < 2 ? 'at the end' : `${distance} pixels before the end`;
    };
    await page.getByText('line 40', { exact: true }).waitFor();
    await eventually(place, 'at the end');
    assert.equal(await page.locator('#latest').isVisible(), false);
    await log.hover();
    await page.mouse.wheel(0, -300);
    await page.locator('#latest').waitFor();
    const rest = await scrolledTo(page);
    const height = await log.evaluate((element) => element.scrollHeight);
    await page.getByText('line 90').waitFor({ state: 'attached' });
    assert.ok((await log.evaluate((element) => element.scrollHeight)) > height);
    assert.equal(await top(), rest);
    await page.locator('#latest').click();
    await page.getByText('line 130').waitFor();
    await eventually(place, 'at the end');
    await page.getByRole('button', { name: 'Stop' }).click();
    await finishedTurn(page, 0);
  });
});
