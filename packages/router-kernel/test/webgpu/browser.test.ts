import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';
import { startChromium } from './headless-chromium.ts';

const EXAMPLE = fileURLToPath(new URL('../../../../examples/browser-router/', import.meta.url));
const SCREENSHOT = fileURLToPath(new URL('../../../../docs/images/browser-router.png', import.meta.url));
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

describe('the browser example in Chromium', function () {
  this.timeout(120_000);
  let folder = '';
  let server: Server | null = null;
  let url = '';
  let browser: Browser | null = null;

  before(async function () {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      console.log(`    skipped: Chromium is packaged for Linux on x64; this is ${process.platform} on ${process.arch}`);
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), 'switchyard-browser-router-'));
    const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
    await build({
      root: EXAMPLE,
      logLevel: 'error',
      build: { outDir: folder, emptyOutDir: true },
      // The sources, so that the test does not depend on an earlier build.
      resolve: {
        alias: {
          '@switchyard/router-kernel/webgpu': source('webgpu/browser.ts'),
          '@switchyard/router-kernel/suite': source('suite/index.ts'),
        },
      },
    });
    server = await serve(folder);
    url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  });

  after(async () => {
    server?.close();
    server?.closeAllConnections();
    if (folder !== '') await rm(folder, { recursive: true });
  });

  afterEach(async () => {
    await browser?.close();
    browser = null;
  });

  async function open(context: Mocha.Context, withWebGpu: boolean): Promise<{ page: Page; errors: string[] }> {
    const started = await startChromium(withWebGpu);
    if (typeof started === 'string') {
      console.log(`      skipped: Chromium cannot start: ${started}`);
      context.skip();
    }
    browser = started;
    const page = await browser.newPage({ viewport: { width: 900, height: 1050 } });
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(url);
    return { page, errors };
  }

  it('routes on WebGPU, agrees with the reference, and draws', async function () {
    const { page, errors } = await open(this, true);
    const outcome = page.locator('#status:not([data-state=running])');
    await outcome.waitFor({ timeout: 60_000 });
    assert.match(await outcome.innerText(), /512 tokens checked against the reference: 0 ids and 0 weights differ/);
    assert.equal(await outcome.getAttribute('data-state'), 'passed');
    assert.ok((await drawnColors(page, '#heat-map')) > 10, 'the heat map is empty');
    assert.ok((await drawnColors(page, '#latency')) > 3, 'the latency plot is empty');
    assert.match(await page.locator('#load-summary').innerText(), /got the most tokens/);
    if (process.env['UPDATE_SCREENSHOT'] === '1') await page.screenshot({ path: SCREENSHOT, fullPage: true });

    for (const path of ['subgroups', 'workgroup']) {
      await page.locator('[name=experts]').fill('60');
      await page.locator('[name=tokens]').fill('33');
      await page.locator('[name=logitsDtype]').selectOption('f16');
      await page.locator('[name=path]').selectOption(path);
      await page.locator('button').click();
      await page.locator('button:not([disabled])').waitFor({ timeout: 60_000 });
      const text = await page.locator('#status').innerText();
      assert.match(text, /33 tokens checked against the reference: 0 ids and 0 weights differ/);
      assert.match(text, path === 'subgroups' ? /by subgroup operations/ : /by workgroup memory/);
    }
    await page.locator('[name=experts]').fill('3');
    await page.locator('button').click();
    await page.locator('#status[data-state=failed]').waitFor();
    assert.match(await page.locator('#status').innerText(), /topK .* must be an integer from 1 to 3 · found 4/);
    assert.deepEqual(errors, []);
  });

  it('says so where WebGPU is missing', async function () {
    const { page, errors } = await open(this, false);
    await page.addInitScript(() =>
      Object.defineProperty(Object.getPrototypeOf(Reflect.get(globalThis, 'navigator')), 'gpu', { value: undefined }),
    );
    await page.reload();
    await page.locator('#status[data-state=unavailable]').waitFor();
    assert.match(await page.locator('#status').innerText(), /WebGPU is missing/);
    assert.equal(await page.locator('#results').isHidden(), true);
    assert.deepEqual(errors, []);
  });
});

/** The different colours of a canvas's pixels, counted on a grid. */
async function drawnColors(page: Page, selector: string): Promise<number> {
  return page.locator(selector).evaluate((canvas) => {
    const { width, height } = canvas as unknown as { width: number; height: number };
    const context = (canvas as unknown as { getContext(kind: '2d'): CanvasContext }).getContext('2d');
    const { data } = context.getImageData(0, 0, width, height);
    const colors = new Set<string>();
    for (let at = 0; at < data.length; at += 28) colors.add(data.slice(at, at + 4).join());
    return colors.size;
  });
}

/** As much of CanvasRenderingContext2D as is used here: the tests are compiled without the DOM's types. */
interface CanvasContext {
  getImageData(left: number, top: number, width: number, height: number): { readonly data: Uint8ClampedArray };
}

async function serve(root: string): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const file = join(root, pathname === '/' ? 'index.html' : pathname);
    readFile(file).then(
      (content) => response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain' }).end(content),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}
