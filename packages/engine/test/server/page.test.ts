import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { launchOrSkip } from './browser.ts';
import { startModelServer } from './test-server.ts';

/** Set to write docs/images/chat.png anew. */
const SCREENSHOT = process.env['SWITCHYARD_SCREENSHOT'];

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

  it('answers a question, shows its analysis, and lights up the experts', async () => {
    const page = await browser.newPage({ viewport: { width: 1200, height: 720 } });
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (entry) => {
      if (entry.type() === 'error') problems.push(entry.text());
    });
    await page.goto(server.url);
    await page.getByText('ready', { exact: true }).waitFor();
    await page.getByLabel('your message').fill('What is a lighthouse?');
    await page.getByRole('button', { name: 'Send' }).click();
    const answer = page.locator('article[data-role=model][data-done=true]').first();
    await answer.waitFor();
    assert.match(await answer.innerText(), /a tower with a light that gives warning of shoals to passing ships\./);
    assert.equal(await answer.locator('details').isVisible(), true);
    assert.match(await page.locator('#usage').innerText(), /\d+ prompt tokens, \d+ generated/);
    assert.equal(await page.locator('#heat .row').count(), 6);
    assert.equal(await page.locator('#heat i').count(), 6 * 32);
    const opacities = await page.locator('#heat i').evaluateAll((cells) => cells.map((cell) => cell.style.opacity));
    assert.equal(opacities.filter((opacity) => opacity === '1').length >= 6, true);

    // Markup in a message is text.
    await page.getByLabel('your message').fill('<img src=x onerror=alert(1)> What is 17 + 25?');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('article[data-role=model][data-done=true]').nth(1).waitFor();
    assert.equal(await page.locator('#log img').count(), 0);
    if (SCREENSHOT !== undefined) {
      await page.reload();
      for (const [turn, question] of ['What is a lighthouse?', 'What is 17 + 25?'].entries()) {
        await page.getByLabel('your message').fill(question);
        await page.getByRole('button', { name: 'Send' }).click();
        await page.locator('article[data-role=model][data-done=true]').nth(turn).waitFor();
      }
      await page.locator('details summary').first().click();
      await mkdir(new URL('../../../../docs/images/', import.meta.url), { recursive: true });
      await page.screenshot({ path: SCREENSHOT });
    }
    assert.deepEqual(problems, []);
  });
});
