import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startModelServer } from '../server/test-server.ts';
import { ask, eventually, finishedTurn, launchOrSkip, openNewPage, recordProblems } from './browser.ts';

interface Load {
  readonly layers: readonly { readonly layer: number; readonly tokens: readonly number[] }[];
}
interface Chunk {
  readonly choices: readonly {
    readonly routed_experts?: readonly {
      readonly position: number;
      readonly tokens: readonly string[];
      readonly layers: readonly {
        readonly layer: number;
        readonly experts: number[][];
        readonly weights: number[][];
      }[];
    }[];
  }[];
}

const QUESTION = 'What is a lighthouse?';

describe('the expert load of the page', function () {
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  let problems: string[];

  before(async function () {
    browser = await launchOrSkip(this);
    server = await startModelServer();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    problems = recordProblems(page);
    await openNewPage(page, server.url);
  });
  afterEach(async () => {
    assert.deepEqual(problems, []);
    await page?.goto('about:blank');
  });
  const load = async (): Promise<Load> => (await (await fetch(`${server.url}/expert-load`)).json()) as Load;
  const readout = (): Promise<string> => page.locator('#readout').innerText();
  /** Asks, and waits until the counters of the answer are shown. */
  const answered = async (): Promise<void> => {
    await ask(page, QUESTION);
    await finishedTurn(page, 0);
    await page.locator('#heat:not([aria-label*="no tokens"])').waitFor();
  };
  /** The number of tokens that every cell of the map says, a row a layer, told by the keyboard. */
  const cells = async (layers: number, experts: number): Promise<number[][]> => {
    const map = page.locator('#heat');
    await map.focus();
    for (let layer = 0; layer < 6; layer += 1) await map.press('ArrowUp');
    const rows: number[][] = [];
    for (let layer = 0; layer < layers; layer += 1) {
      await map.press('Home');
      const row: number[] = [];
      for (let expert = 0; expert < experts; expert += 1) {
        const [, l, e, count] = /^Layer (\d+), expert (\d+): (\d+) tokens/.exec(await readout()) ?? [];
        assert.deepEqual([Number(l), Number(e)], [layer, expert]);
        row.push(Number(count));
        await map.press('ArrowRight');
      }
      rows.push(row);
      await map.press('ArrowDown');
    }
    return rows;
  };

  it('says of every expert what the server counted during the answer, and since the start', async () => {
    await page.locator('#heat[aria-label$="6 layers by 32 experts, no tokens"]').waitFor();
    const before = await load();
    await answered();
    const now = await load();
    const expected = now.layers
      .slice(0, 2)
      .map(({ tokens }, layer) => tokens.map((count, expert) => count - (before.layers[layer]?.tokens[expert] ?? 0)));
    assert.ok(expected.flat().some((count) => count > 0));
    assert.deepEqual(await cells(2, 32), expected);
    assert.match(
      await page.locator('#scope-note').innerText(),
      /tokens that it computed for others in that time are in it/,
    );

    await page.getByLabel('Show').selectOption('total');
    const total = now.layers.slice(0, 1).map(({ tokens }) => [...tokens]);
    assert.deepEqual(await cells(1, 32), total);

    await page.getByText('As a table').click();
    const row = page.locator('#load-rows tbody tr').first().locator('th, td');
    const first = now.layers[0]?.tokens ?? [];
    const most = Math.max(...first);
    const sum = first.reduce((a, b) => a + b, 0);
    const unused = first.filter((count) => count === 0).length;
    await eventually(
      () => row.allInnerTexts(),
      ['0', String(first.indexOf(most)), String(most), `${((most / sum) * 100).toFixed(1)} %`, `${unused} of 32`],
    );
  });

  it('tells of a cell where a person points at it, and nothing beside the cells', async () => {
    await answered();
    const map = page.locator('#heat');
    const box = await map.boundingBox();
    assert.ok(box !== null);
    const cell = (box.width - 24) / 32;
    await map.hover({ position: { x: 24 + cell * 5.5, y: 3 } });
    await eventually(readout, /^Layer 0, expert 5: \d+ tokens, [\d.]+ % of the layer's \(an even share is 3\.1 %\)$/);
    await map.hover({ position: { x: 5, y: 3 } });
    await eventually(readout, '');
  });

  it('shows the experts of the token that a person points at, as the server traced them', async () => {
    await page.getByLabel('Trace every token').check();
    const streamed = page.waitForResponse('**/v1/chat/completions');
    await answered();
    const text = await (await streamed).text();
    const traced = text
      .split('\n\n')
      .filter((event) => event.startsWith('data: {'))
      .flatMap((event) => (JSON.parse(event.slice(6)) as Chunk).choices[0]?.routed_experts ?? []);
    const words = traced.flatMap(({ tokens }) => tokens);
    const strip = page.locator('#token-strip span');
    await strip.first().waitFor();
    assert.deepEqual(
      await strip.allInnerTexts(),
      words.map((word) => word.replaceAll('\n', '⏎').replaceAll(' ', '·')),
    );
    assert.match(await page.locator('#scope-note').innerText(), new RegExp(`from the ${words.length} traced tokens`));
    const prompt = Number(/^(\d+) prompt/.exec(await page.locator('#usage').innerText())?.[1]);
    assert.equal(await page.locator('#token-strip .prompt').count(), prompt);

    // The last token of the answer but one, in its first layer.
    const index = words.length - 2;
    const run = traced.findLast(({ position }) => position <= index);
    const routed = run?.layers[0];
    const row = index - (run?.position ?? 0);
    await strip.nth(index).hover();
    await eventually(() => page.getByLabel('Show').inputValue(), 'token');
    for (const [place, expert] of (routed?.experts[row] ?? []).entries()) {
      assert.ok((await readout()).includes(`${expert} (${routed?.weights[row]?.[place]})`), await readout());
    }
    const map = page.locator('#heat');
    await map.focus();
    await map.press('Home');
    for (let expert = 0; expert < 32; expert += 1) {
      const place = routed?.experts[row]?.indexOf(expert) ?? -1;
      const fate = place === -1 ? 'not chosen' : `weight ${routed?.weights[row]?.[place]}`;
      assert.ok((await readout()).startsWith(`Layer 0, expert ${expert}: ${fate} for `), await readout());
      await map.press('ArrowRight');
    }
    await page.locator('#token-strip').focus();
    await page.keyboard.press('ArrowLeft');
    await eventually(() => strip.nth(index - 1).getAttribute('aria-selected'), 'true');
  });
});
