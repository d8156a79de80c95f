import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { scripted, startScriptedServer } from '../server/test-server.ts';
import { ask, finishedTurn, framesDrawn, launchOrSkip, openPage } from './browser.ts';

/** Of the quick level, those of the smallest and of the largest layout. */
const WIDTHS = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? [320, 375, 768, 1280] : [320, 1280];
const WIDE = [
  'supercalifragilistic'.repeat(20),
  `https://example.org/${'path/'.repeat(40)}?${'query=1&'.repeat(30)}`,
  `const table = [${'0x1234, '.repeat(60)}];`,
  `| ${'column | '.repeat(40)}\n|${'---|'.repeat(40)}\n| ${'value | '.repeat(40)}`,
  `\`\`\`js\n${'const wide = 1; '.repeat(40)}\n\`\`\``,
  `# ${'heading'.repeat(60)}`,
  `${'> '.repeat(8)}${'quoted'.repeat(60)}`,
  `${'  '.repeat(0)}- a\n${Array.from({ length: 8 }, (_, depth) => `${'  '.repeat(depth + 1)}- deep ${'item'.repeat(20)}`).join('\n')}`,
  '漢字'.repeat(200),
].join('\n\n');
const CALL = {
  index: 0,
  id: 'call_1',
  function: { name: 'look_up'.repeat(9), arguments: `{"word":"${'x'.repeat(600)}"}` },
};

/** Elements that reach over an edge of the screen, and boxes whose content is wider than they are. */
async function tooWide(page: Page): Promise<string[]> {
  await framesDrawn(page);
  return await page.locator('*').evaluateAll((elements) =>
    elements
      .filter((element) => {
        // These scroll what is wide by themselves, or cut it off.
        if (element.closest('.scrolling > *, #load-rows > *, .unseen, .skip, #question-keys, h1') !== null)
          return false;
        const width = element.ownerDocument.documentElement.clientWidth;
        const { left, right } = element.getBoundingClientRect();
        // An inline element has no width of its own.
        const isBox =
          element.clientWidth > 0 && !element.matches('input, select, textarea, .scrolling, #load-rows, .conversation');
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
      await openPage(page, server.url);
      assert.deepEqual(await tooWide(page), []);
      const answer = `<|channel|>analysis<|message|>${WIDE}<|end|><|start|>assistant<|channel|>final<|message|>${WIDE}`;
      await ask(page, `${WIDE} ${scripted(answer)}`);
      const turn = await finishedTurn(page, 0);
      await turn.locator('summary').click();
      await turn.locator('.thoughts table').waitFor();
      await turn.locator('.body .code').waitFor();
      assert.deepEqual(await tooWide(page), []);

      const chunk = JSON.stringify({ choices: [{ delta: { tool_calls: [CALL] }, finish_reason: 'tool_calls' }] });
      const body = `data: ${chunk}\n\ndata: [DONE]\n\n`;
      await page.route('**/v1/chat/completions', (route) => route.fulfill({ contentType: 'text/event-stream', body }), {
        times: 1,
      });
      await ask(page, 'call');
      await (await finishedTurn(page, 1)).locator('.call textarea').waitFor();
      assert.deepEqual(await tooWide(page), []);

      for (experts of [128, 1024]) {
        const error = { message: WIDE, code: 'bad' };
        await page.route('**/v1/chat/completions', (route) => route.fulfill({ status: 400, json: { error } }));
        await ask(page, WIDE);
        await finishedTurn(page, experts === 128 ? 2 : 3);
        await page.locator(`#heat[aria-label*="by ${experts} experts"]`).waitFor({ state: 'attached' });
        assert.deepEqual(await tooWide(page), []);
      }

      for (const name of ['Chats', 'Experts', 'Settings']) {
        const opener = page.getByRole('button', { name, exact: true });
        if ((await opener.getAttribute('aria-expanded')) !== 'true') await opener.click();
        if (name === 'Experts') {
          await page.getByText('As a table').click();
          await page.locator('#load-rows table').waitFor();
        }
        assert.deepEqual(await tooWide(page), [], name);
        await page.keyboard.press('Escape');
      }

      await page.route('**/health', (route) => route.fulfill({ status: 503, json: { error: { message: WIDE } } }));
      await page.reload();
      await page.locator('#state', { hasText: 'supercali' }).waitFor();
      await page.locator(`#heat[aria-label*="by ${experts} experts"]`).waitFor({ state: 'attached' });
      assert.deepEqual(await tooWide(page), []);
      // What a person types with must be in view, whatever else there is.
      for (const name of ['Send', 'reasoning effort', 'your message']) {
        const box = await page
          .getByLabel(name, { exact: true })
          .or(page.getByRole('button', { name, exact: true }))
          .boundingBox();
        assert.ok(box !== null && box.y + box.height <= 640 && box.width >= 44, `${name} ${JSON.stringify(box)}`);
      }
    });
  }
});
