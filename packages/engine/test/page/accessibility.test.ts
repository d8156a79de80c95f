import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';
import { answerWith, ask, eventually, finishedTurn, framesDrawn, launchOrSkip, openPage } from './browser.ts';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const MARKDOWN = [
  '# A heading',
  'A paragraph with `code`, **strong**, ==marked== <mark>marked</mark> and [a link](https://example.org).',
  '- one\n- two\n  1. deep\n\n- [x] done',
  '| a | b |\n|---|--:|\n| 1 | 2 |',
  '```js\nconst one = 1;\n```',
  '> quoted\n\n---\n\n## Another heading',
].join('\n\n');
const CALL = { index: 0, id: 'call_1', function: { name: 'look_up', arguments: '{"word":"ship"}' } };
const ROUTED = {
  position: 0,
  tokens: ['a', ' ship'],
  layers: [{ layer: 0, experts: [[1], [2]], weights: [[1], [1]] }],
};
/** Every size and both colours; in full, every size in both. */
const IS_FULL = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
const SIZES = [
  [320, 640],
  [820, 1000],
  [1280, 800],
] as const;

/** What axe-core finds wrong with the page as it is, a line each. */
async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await page.evaluate<Pick<AxeResults, 'violations'>>(
    `axe.run(document, { resultTypes: ['violations'] })`,
  );
  return found.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target.join(' ')} ${failureSummary}`),
  );
}

/** Controls that a screen reader has no name for, by the browser's own account. */
function unnamed(page: Page): Promise<string[]> {
  return page.locator('button, input, select, textarea, a[href], [tabindex="0"], summary').evaluateAll((controls) =>
    controls
      .filter((control) => {
        const labels = (control as { labels?: { length: number } | null }).labels?.length ?? 0;
        const names = [
          control.getAttribute('aria-label'),
          control.getAttribute('aria-labelledby'),
          control.textContent,
        ];
        // A field's text is its value, not its name.
        const named = control.matches('input, select, textarea') ? names.slice(0, 2) : names;
        return labels === 0 && named.every((name) => (name ?? '').trim() === '');
      })
      .map((control) => control.outerHTML),
  );
}

describe('the page, for everybody', function () {
  this.timeout(60_000);
  let server: RunningServer;
  let browser: Browser;

  before(async function () {
    browser = await launchOrSkip(this);
    server = await startScriptedServer();
    await server.ready;
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  async function check(page: Page, state: string): Promise<void> {
    await framesDrawn(page);
    assert.deepEqual(await violations(page), [], state);
    assert.deepEqual(await unnamed(page), [], state);
  }

  for (const [index, [width, height]] of SIZES.entries()) {
    const one = index % 2 === 0 ? (['light'] as const) : (['dark'] as const);
    for (const colorScheme of IS_FULL ? (['light', 'dark'] as const) : one) {
      it(`has no violation that axe-core finds at ${width} pixels in ${colorScheme} colours`, async () => {
        const context = await browser.newContext({ viewport: { width, height }, colorScheme, bypassCSP: true });
        const page = await context.newPage();
        await page.addInitScript(AXE);
        await openPage(page, server.url);
        await check(page, 'empty');

        await answerWith(page, MARKDOWN);
        await ask(page, 'What is a ship?');
        await finishedTurn(page, 0);
        const error = { message: 'No good · found x', code: 'bad' };
        await page.route('**/v1/chat/completions', (route) => route.fulfill({ status: 400, json: { error } }), {
          times: 1,
        });
        await ask(page, 'fail');
        await finishedTurn(page, 1);
        const choice = {
          delta: { reasoning: 'thinking', tool_calls: [CALL] },
          routed_experts: [ROUTED],
          finish_reason: 'tool_calls',
        };
        const body = `data: ${JSON.stringify({ choices: [choice] })}\n\ndata: [DONE]\n\n`;
        await page.route(
          '**/v1/chat/completions',
          (route) => route.fulfill({ contentType: 'text/event-stream', body }),
          {
            times: 1,
          },
        );
        await ask(page, 'call');
        await (await finishedTurn(page, 2)).locator('summary').click();
        await page.getByRole('button', { name: 'Edit your message' }).first().click();
        await page.locator('#token-strip span').first().waitFor({ state: 'attached' });
        await check(page, 'answers of every kind');

        for (const name of ['Chats', 'Experts', 'Settings']) {
          const opener = page.getByRole('button', { name, exact: true });
          if ((await opener.getAttribute('aria-expanded')) !== 'true') await opener.click();
          if (name === 'Experts') {
            await page.getByText('As a table').click();
            await page.locator('#load-rows table').waitFor();
            await page.locator('#token-strip span').first().click();
          }
          await check(page, name);
          await page.keyboard.press('Escape');
        }
      });
    }
  }

  it('is used by keyboard alone', async () => {
    const page = await browser.newPage({ viewport: { width: 375, height: 700 } });
    await openPage(page, server.url);
    const focused = (): Promise<string> =>
      page.locator('body').evaluate(({ ownerDocument: { activeElement } }) => {
        const label = activeElement?.getAttribute('aria-label') ?? activeElement?.textContent;
        return activeElement?.id || label || '';
      });
    await eventually(focused, 'question');
    await answerWith(page, '```js\nconst one = 1;\n```');
    await page.keyboard.type('a first line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('a second');
    await page.keyboard.press('Enter');
    await finishedTurn(page, 0);
    assert.equal(await page.locator('article[data-role=you] .text').textContent(), 'a first line\na second');

    // Everything of the conversation is reached, and the code scrolls by its arrow keys.
    const reached = new Set<string>();
    await page.locator('#open-conversations').focus();
    for (let step = 0; step < 16; step += 1) {
      reached.add(await focused());
      await page.keyboard.press('Tab');
    }
    for (const name of [
      'log',
      'Copy your message',
      'Edit your message',
      'Copy',
      'js, as code',
      'Copy the answer',
      'Retry',
    ]) {
      assert.ok(reached.has(name), `${name} of ${[...reached].join(' | ')}`);
    }

    // A panel over the conversation holds the focus, Escape closes it and gives the focus back.
    await page.locator('#open-experts').press('Enter');
    await eventually(focused, 'close the expert load');
    const held = new Set<string>();
    for (let step = 0; step < 12; step += 1) {
      assert.equal(await page.locator('main :focus').count(), 0);
      held.add(await focused());
      await page.keyboard.press('Tab');
    }
    assert.ok(held.has('heat'), [...held].join(' | '));
    await page.keyboard.press('Escape');
    await eventually(focused, 'open-experts');
    assert.equal(await page.locator('#experts').isVisible(), false);
  });

  it('tells a screen reader the answer when it is whole, and not its pieces', async () => {
    const page = await browser.newPage();
    await openPage(page, server.url);
    await answerWith(page, 'A ship ', 'carries ', 'goods.');
    await ask(page, 'What is a ship?');
    await finishedTurn(page, 0);
    assert.equal(await page.locator('#announcer').textContent(), 'The answer: A ship carries goods.');
    assert.equal(await page.locator('#log').getAttribute('aria-live'), 'off');
  });
});
