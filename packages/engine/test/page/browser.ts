/** A headless Chromium for tests of the page. */

import assert from 'node:assert/strict';
import { access, constants } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import chromium from '@sparticuz/chromium';
import { type Browser, type Page, chromium as playwright } from 'playwright-core';

/** Arguments for WebGL and WebGPU. Without them Chromium does not draw the page by an emulated GPU, which takes longer. */
const OF_THE_GPU = /gpu|gl=|angle|swiftshader/;
/** How long a page has for what it does by and by, in milliseconds. */
const LONGEST_WAIT_MS = 10_000;

async function launch(): Promise<Browser | string> {
  try {
    const executablePath = await chromium.executablePath();
    await access(executablePath, constants.X_OK);
    const args = chromium.args.filter((arg) => !OF_THE_GPU.test(arg));
    return await playwright.launch({
      executablePath,
      args: [...args, '--disable-gpu', '--no-sandbox'],
      headless: true,
    });
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n', 3).join(' ') ?? '') : String(error);
  }
}

/** A headless Chromium; where none starts, says why and skips the hook's tests. */
export async function launchOrSkip(hook: Mocha.Context): Promise<Browser> {
  const launched = await launch();
  if (typeof launched !== 'string') return launched;
  console.log(`      skipped: Chromium does not start here (${launched})`);
  return hook.skip();
}

/**
 * Holds what is read to what is expected, a pattern for text, once the page has come to it. Playwright waits for elements,
 * but reads texts, counts and boxes as they are, which may be before the event, the frame or the request that changes them.
 */
export async function eventually<T>(read: () => Promise<T>, expected: NoInfer<T> | RegExp): Promise<void> {
  const isExpected = (found: T): boolean =>
    expected instanceof RegExp ? expected.test(String(found)) : isDeepStrictEqual(found, expected);
  const end = performance.now() + LONGEST_WAIT_MS;
  let found = await read();
  while (!isExpected(found) && performance.now() < end) {
    await delay(20);
    found = await read();
  }
  if (expected instanceof RegExp) assert.match(String(found), expected);
  else assert.deepEqual(found, expected);
}

/**
 * Waits for two frames: moves of the mouse, observers of sizes and focus at the start wait for a frame themselves. For
 * checks that something is not there, which hold before it comes.
 */
export async function framesDrawn(page: Page): Promise<void> {
  await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
}

/** Types a message and presses Send. */
export async function ask(page: Page, question: string): Promise<void> {
  await page.getByLabel('your message', { exact: true }).fill(question);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
}

/**
 * The model's turn with this number, once it is over, well or not. The field, the list and what is announced change in the
 * same task as the turn; the expert load comes with a later request.
 */
export async function finishedTurn(page: Page, turn: number): Promise<ReturnType<Page['locator']>> {
  const article = page.locator('article[data-role=model]').nth(turn);
  await page.locator('article[data-role=model][data-done=true]').nth(turn).waitFor();
  return article;
}

/** What the page sends for an answer. */
export interface SentRequest {
  readonly messages: { role: string; content: string }[];
  readonly [field: string]: unknown;
}

/** Every request for an answer that the page makes from now on. */
export function recordRequests(page: Page): SentRequest[] {
  const sent: SentRequest[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/chat/completions')) sent.push(request.postDataJSON() as SentRequest);
  });
  return sent;
}

/** The messages of every request for an answer that the page makes from now on. */
export function recordMessages(page: Page): SentRequest['messages'][] {
  const sent: SentRequest['messages'][] = [];
  page.on('request', (request) => {
    if (!request.url().endsWith('/v1/chat/completions')) return;
    sent.push((request.postDataJSON() as SentRequest).messages);
  });
  return sent;
}

/** What goes wrong in a page from now on: exceptions, and errors that the browser reports, broken policies among them. */
export function recordProblems(page: Page): string[] {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (entry) => {
    if (entry.type() === 'error') problems.push(entry.text());
  });
  return problems;
}

/**
 * Opens the page as if for the first time. Chromium as one process, as it is here, shares what is stored among all pages,
 * whatever their context.
 */
export async function openNewPage(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/version`);
  await page.evaluate(`new Promise((resolve, reject) => {
    localStorage.clear();
    sessionStorage.clear();
    const request = indexedDB.deleteDatabase('switchyard');
    request.onsuccess = () => resolve();
    request.onerror = request.onblocked = () => reject(new Error('the database is open'));
  })`);
  await openPage(page, url);
}

/** Opens the page and waits until its server is ready and everything that it begins with is shown. */
export async function openPage(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await untilReady(page);
}

/** Loads the page anew and waits as `openPage` does. */
export async function reloadPage(page: Page): Promise<void> {
  await page.reload();
  await untilReady(page);
}

/** The list of conversations is there before the server is asked; the expert load comes with a request of its own. */
async function untilReady(page: Page): Promise<void> {
  await page.getByText('ready', { exact: true }).waitFor();
  await page.locator('#heat:not([aria-label="no expert load yet"])').waitFor({ state: 'attached' });
}

/**
 * The texts of the conversations that the browser keeps, with all that the page had begun to write: IndexedDB lets a
 * reader in after the writers before it.
 */
export function storedTexts(page: Page): Promise<string[][]> {
  return page.evaluate<string[][]>(`new Promise((resolve, reject) => {
    const opened = indexedDB.open('switchyard');
    opened.onerror = () => reject(opened.error);
    opened.onsuccess = () => {
      const database = opened.result;
      const read = database.transaction('conversations').objectStore('conversations').getAll();
      read.onerror = () => reject(read.error);
      read.onsuccess = () => {
        database.close();
        resolve(read.result.map(({ entries }) => entries.map(({ content }) => content)));
      };
    };
  })`);
}

/** Answers the next request for an answer, and no further ones, with this text, as one stream of these pieces. */
export async function answerWith(page: Page, ...pieces: readonly string[]): Promise<void> {
  const events = pieces.map((content) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }));
  const end = { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] };
  const lines = [...events, end].map((event) => `data: ${JSON.stringify(event)}\n\n`);
  const body = `${lines.join('')}data: [DONE]\n\n`;
  await page.route(
    '**/v1/chat/completions',
    (route) => route.fulfill({ status: 200, contentType: 'text/event-stream', body }),
    { times: 1 },
  );
}
