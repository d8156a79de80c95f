import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { ask, finishedTurn, launchOrSkip } from './browser.ts';
import { scripted, startScriptedServer } from './test-server.ts';

/** A folder for pictures of every size, to look at. */
const PICTURES = process.env['SWITCHYARD_PAGE_PICTURES'];
const WIDTHS = [320, 375, 768, 1280];
const WIDE = [
  'supercalifragilistic'.repeat(20),
  `https://example.org/${'path/'.repeat(40)}?${'query=1&'.repeat(30)}`,
  `const table = [${'0x1234, '.repeat(60)}];`,
  `| ${'column | '.repeat(40)}\n|${'---|'.repeat(40)}\n| ${'value | '.repeat(40)}`,
  '漢字'.repeat(200),
].join('\n\n');

/** Elements that reach over an edge of the screen, and boxes whose content is wider than they are. */
function tooWide(page: Page): Promise<string[]> {
  return page.locator('*').evaluateAll((elements) =>
    elements
      .filter((element) => {
        const width = element.ownerDocument.documentElement.clientWidth;
        const { left, right } = element.getBoundingClientRect();
        // A field scrolls what is typed into it; an inline element has no width of its own.
        const isBox = element.clientWidth > 0 && !['INPUT', 'SELECT'].includes(element.tagName);
        return right > width + 0.5 || left < -0.5 || (isBox && element.scrollWidth > element.clientWidth);
      })
      .map((element) => `${element.tagName}#${element.id} ${element.className}`),
  );
}

describe('the layout of the page', function () {
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

  for (const width of WIDTHS) {
    it(`is never wider than ${width} pixels`, async () => {
      const page = await browser.newPage({ viewport: { width, height: 640 } });
      let experts = 32;
      const layers = (count: number): object[] =>
        Array.from({ length: count }, (_, layer) => ({
          layer,
          tokens: Array.from({ length: experts }, (_, expert) => (layer * 7 + expert * 3) % 11),
        }));
      await page.route('**/expert-load', (route) =>
        route.fulfill({ json: { layers: layers(experts > 128 ? 2 : 36) } }),
      );
      await page.goto(server.url);
      await page.getByText('ready', { exact: true }).waitFor();
      assert.deepEqual(await tooWide(page), []);
      const answer = `<|channel|>analysis<|message|>${WIDE}<|end|><|start|>assistant<|channel|>final<|message|>${WIDE}`;
      await ask(page, `${WIDE} ${scripted(answer)}`);
      const turn = await finishedTurn(page, 0);
      await turn.locator('summary').click();
      for (experts of [128, 1024]) {
        const error = { message: WIDE, code: 'bad' };
        await page.route('**/v1/chat/completions', (route) => route.fulfill({ status: 400, json: { error } }));
        const drawn = page.waitForResponse('**/expert-load');
        await ask(page, WIDE);
        await finishedTurn(page, experts === 128 ? 1 : 2);
        await drawn;
        await page.locator(`#heat .row:first-child i:nth-child(${experts})`).waitFor();
        assert.deepEqual(await tooWide(page), []);
      }
      await page.route('**/health', (route) => route.fulfill({ status: 503, json: { error: { message: WIDE } } }));
      await page.reload();
      await page.getByText('supercali').first().waitFor();
      assert.deepEqual(await tooWide(page), []);
      // What a person types with must be in view, whatever else there is.
      for (const name of ['Send', 'reasoning effort', 'your message']) {
        const box = await page.getByLabel(name).or(page.getByRole('button', { name })).boundingBox();
        assert.ok(box !== null && box.y + box.height <= 640 && box.width >= 44, `${name} ${JSON.stringify(box)}`);
      }
      if (PICTURES !== undefined) {
        await mkdir(PICTURES, { recursive: true });
        await page.screenshot({ path: join(PICTURES, `${width}.png`) });
      }
    });
  }
});
