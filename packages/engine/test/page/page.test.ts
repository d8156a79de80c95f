import assert from 'node:assert/strict';
import type { Browser } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startModelServer } from '../server/test-server.ts';
import { ask, finishedTurn, launchOrSkip, openNewPage, openPage, recordProblems } from './browser.ts';

/** A folder for the pictures of docs/images, to write them anew. */
const PICTURES = process.env['SWITCHYARD_PAGE_PICTURES'];
const SIZES = { desktop: [1280, 800], tablet: [820, 1000], phone: [390, 780] } as const;

describe('the page at /', function () {
  let server: RunningServer;
  let browser: Browser;

  before(async function () {
    browser = await launchOrSkip(this);
    server = await startModelServer();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  it('answers a question, shows its thoughts, and lights up the experts', async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const problems = recordProblems(page);
    await openPage(page, server.url);
    await ask(page, 'What is a lighthouse?');
    const answer = await finishedTurn(page, 0);
    assert.match(await answer.innerText(), /a tower with a light that gives warning of shoals to passing ships\./);
    assert.equal(await answer.locator('.thoughts').isVisible(), true);
    assert.match(await page.locator('#usage').innerText(), /\d+ prompt tokens, \d+ generated/);
    const map = page.locator('#heat');
    await page
      .getByRole('img', { name: /6 layers by 32 experts, the busiest is layer \d+, expert \d+ with \d+ tok/ })
      .waitFor();
    const size = await map.boundingBox();
    assert.ok(size !== null && size.width > 200 && size.height > 30, JSON.stringify(size));

    // Markup in a message is text.
    await ask(page, '<img src=x onerror=alert(1)> What is 17 + 25?');
    await finishedTurn(page, 1);
    assert.equal(await page.locator('#log img').count(), 0);
    assert.deepEqual(problems, []);
    await page.goto('about:blank');
  });

  it('is drawn in pictures for the documentation where they are asked for', async function () {
    if (PICTURES === undefined) {
      console.log('      skipped: SWITCHYARD_PAGE_PICTURES names no folder');
      this.skip();
    }
    for (const [name, [width, height]] of Object.entries(SIZES)) {
      const colorScheme = name === 'tablet' ? 'dark' : 'light';
      const page = await browser.newPage({ viewport: { width, height }, colorScheme });
      await openNewPage(page, server.url);
      await ask(page, 'What is a lighthouse?');
      await (await finishedTurn(page, 0)).locator('summary').click();
      if (name === 'desktop') await page.getByLabel('Trace every token').check();
      await ask(page, 'What is 17 + 25?');
      await finishedTurn(page, 1);
      if (name === 'desktop') await page.locator('#token-strip span').last().hover();
      await page.screenshot({ path: `${PICTURES}/page-${name}.png` });
      await page.goto('about:blank');
    }
  });
});
