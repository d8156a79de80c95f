/** A headless Chromium for tests of the page. */

import { access, constants } from 'node:fs/promises';
import chromium from '@sparticuz/chromium';
import { type Browser, type Page, chromium as playwright } from 'playwright-core';

async function launch(): Promise<Browser | string> {
  try {
    const executablePath = await chromium.executablePath();
    await access(executablePath, constants.X_OK);
    return await playwright.launch({ executablePath, args: [...chromium.args, '--no-sandbox'], headless: true });
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

/** Types a message and presses Send. */
export async function ask(page: Page, question: string): Promise<void> {
  await page.getByLabel('your message').fill(question);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
}

/** The model's turn with this number, once it is over, well or not. */
export async function finishedTurn(page: Page, turn: number): Promise<ReturnType<Page['locator']>> {
  const article = page.locator('article[data-role=model]').nth(turn);
  await page.locator('article[data-role=model][data-done=true]').nth(turn).waitFor();
  return article;
}

/** The messages of every request for an answer that the page makes from now on. */
export function recordMessages(page: Page): { role: string; content: string }[][] {
  const sent: { role: string; content: string }[][] = [];
  page.on('request', (request) => {
    if (!request.url().endsWith('/v1/chat/completions')) return;
    const body = request.postDataJSON() as { messages: { role: string; content: string }[] };
    sent.push(body.messages);
  });
  return sent;
}
