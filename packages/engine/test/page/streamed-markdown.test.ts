import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';
import { launchOrSkip, openPage } from './browser.ts';

/** Blocks whose meaning depends on what comes after or before them. */
const BLOCKS = [
  'a paragraph',
  'over two\nlines',
  '# heading',
  'set\n===',
  'set\n---',
  '- a\n- b',
  '- a\n\n  more of it\n- b',
  '1. one\n2. two',
  '10) ten',
  '2',
  '-',
  '> quoted\nlazily',
  '```js\nconst one = 1;\n\n- no list\n```',
  '~~~\nopen',
  '    indented code',
  '| a | b |\n|---|---|\n| 1 | 2 |',
  '| not | a table |',
  '---',
  '<b>bold</b> and <br> text',
  '<div>\nmarkup\n</div>',
  '[link][name] and [other](https://example.org)',
  '[name]: https://example.com',
  '- [ ] task\n- [x] done',
  '**strong *both***',
  '`code`',
  'tab\tand \\* escape &amp; entity',
  '漢字 🎉',
  '  indented',
  '- deep\n  - deeper\n    - deepest',
  '1. one\n2. two\n   | a |\n   |---|\n   | 1 |\n3. three\n4. four\n\n5. loose from here',
  '- [a](https://example.org) [b](javascript:x) <b>c</b>\n- ```\n  code\n  ```\n- last',
  '| a | b |\n|:--|--:|\n| 1 | 2 |\n| 3 | [link](https://example.org) |\n| 5 |\n| 6 | 7 | 8 |\nno row',
];
const SEPARATORS = ['\n\n', '\n', '\n\n\n', '\r\n\r\n', '\n \n', ''];

const document = fc
  .array(fc.tuple(fc.constantFrom(...BLOCKS), fc.constantFrom(...SEPARATORS)), { minLength: 1, maxLength: 10 })
  .map((parts) => parts.flat().join(''));
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

function pieces(text: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((share) => Math.floor(share * text.length)), text.length].sort((a, b) => a - b);
  return places.slice(1).map((place, index) => text.slice(places[index], place));
}

interface Rendered {
  readonly whole: string;
  readonly streamed: string;
}

describe('Markdown that is shown while it comes', function () {
  this.timeout(60_000);
  let server: RunningServer;
  let browser: Browser;
  let page: Page;

  before(async function () {
    browser = await launchOrSkip(this);
    server = await startScriptedServer();
    await server.ready;
    page = await (await browser.newContext({ bypassCSP: true })).newPage();
    await openPage(page, server.url);
    // Every piece is shown by itself, as if time stood still between them.
    await page.evaluate(`(async () => {
      const { blocksOf, nodesOf } = await import('/page/markdown.mjs');
      const { StreamedMarkdown } = await import('/page/streamed-markdown.mjs');
      const htmlOf = (node) => {
        const box = document.createElement('div');
        box.append(node);
        box.normalize();
        return box.innerHTML;
      };
      globalThis.renderBoth = (documents) => documents.map((pieces) => {
        const place = document.createElement('div');
        const shown = new StreamedMarkdown(place);
        for (const piece of pieces) {
          shown.append(piece);
          shown.show();
        }
        shown.finish();
        place.normalize();
        return { whole: htmlOf(nodesOf(blocksOf(pieces.join('').replaceAll('\\r', '')))), streamed: place.innerHTML };
      });
    })()`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
  const render = async (documents: readonly (readonly string[])[]): Promise<Rendered[]> =>
    await page.evaluate<Rendered[]>(`renderBoth(${JSON.stringify(documents)})`);

  it('is in the end what it is as a whole, however it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(document, cuts), { minLength: 20, maxLength: 20 }), async (documents) => {
        const cut = documents.map(([text, at]) => pieces(text, at));
        for (const [index, { whole, streamed }] of (await render(cut)).entries()) {
          assert.equal(streamed, whole, JSON.stringify(cut[index]));
        }
      }),
      { numRuns: 30 },
    );
  });

  it('is what it is as a whole where it comes letter by letter', async () => {
    const texts = BLOCKS.map((block, index) => `${block}\n\n${BLOCKS[(index * 7 + 3) % BLOCKS.length]}\n\n${block}`);
    const documents = texts.map((text) => text.match(/[^]/gu) ?? []);
    for (const [index, { whole, streamed }] of (await render(documents)).entries()) {
      assert.equal(streamed, whole, texts[index]);
    }
  });

  it('shows what it means at every moment, not only in the end', async () => {
    const [list] = await render([['1. a\n\n2']]);
    assert.match(list?.streamed ?? '', /^<ol>\s*<li>a<\/li>\s*<\/ol>\s*<p>2<\/p>/);
    const [open] = await render([['text\n\n```js\nconst one']]);
    assert.match(open?.streamed ?? '', /<code class="language-js">const one/);
  });

  it('keeps what Markdown says of tables, lists, code and line breaks', async () => {
    const cases = {
      '| a | b |\n|:-:|--:|\n| 1 | 2<br>3 |':
        /<th align="center">a<\/th>\s*<th align="right">b<\/th>.*<td align="right">2<br>3<\/td>/s,
      '10) ten\n11) eleven': /<ol start="10">\s*<li>ten<\/li>\s*<li>eleven<\/li>\s*<\/ol>/,
      '- [x] done\n- [ ] not': /<li>☑ done<\/li>\s*<li>☐ not<\/li>/,
      '```c++\n<b>\n```': /<span>c\+\+<\/span>.*<code class="language-c\+\+">&lt;b&gt;\n<\/code>/s,
      '[a](https://example.org/a "title") H<sub>2</sub>O ~~no~~':
        /<a href="https:\/\/example\.org\/a" title="title" .*>a<\/a> H<sub>2<\/sub>O <del>no<\/del>/,
    };
    const rendered = await render(Object.keys(cases).map((text) => [text]));
    for (const [index, pattern] of Object.values(cases).entries())
      assert.match(rendered[index]?.streamed ?? '', pattern);
  });

  it('leaves the rows of growing lists and tables in place', async () => {
    const kept = await page.evaluate(`(async () => {
      const { StreamedMarkdown } = await import('/page/streamed-markdown.mjs');
      const keptOf = (head, row) => {
        const place = document.createElement('div');
        const shown = new StreamedMarkdown(place);
        const append = (text) => { shown.append(text); shown.show(); };
        append(head + row(1) + row(2) + row(3));
        const nodes = [...place.querySelectorAll('li, tr')];
        for (let number = 4; number < 50; number += 1) append(row(number));
        const now = [...place.querySelectorAll('li, tr')];
        return [nodes.every((node, index) => node === now[index]), now.length, place.innerText.match(/7/g).length];
      };
      return [keptOf('text\\n\\n', (n) => '- ' + n + '\\n'), keptOf('| a |\\n|---|\\n', (n) => '| ' + n + ' |\\n')];
    })()`);
    assert.deepEqual(kept, [
      [true, 49, 5],
      [true, 50, 5],
    ]);
  });

  it('leaves the nodes of finished blocks, and the start of unfinished ones, in place', async () => {
    const kept = await page.evaluate(`(async () => {
      const { StreamedMarkdown } = await import('/page/streamed-markdown.mjs');
      const place = document.createElement('div');
      const shown = new StreamedMarkdown(place);
      const append = (text) => { shown.append(text); shown.show(); };
      append('one\\n\\ntwo\\n\\n\\\`\\\`\\\`js\\nfirst();\\n');
      const nodes = [...place.querySelectorAll('p, pre, code')];
      const text = place.querySelector('code').firstChild;
      append('second();\\n');
      append('\\\`\\\`\\\`\\n\\nthree **four');
      append('** five');
      const now = [...place.querySelectorAll('p, pre, code')];
      return [nodes.every((node, index) => node === now[index]), place.contains(text), place.textContent];
    })()`);
    assert.deepEqual(kept, [true, true, 'one\ntwo\njsCopyfirst();\nsecond();\n\nthree four five\n']);
  });
});
