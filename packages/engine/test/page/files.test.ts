import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';

const FOLDER = new URL('../../assets/page/', import.meta.url);
const MOST_BYTES = 150_000;
const require = createRequire(import.meta.url);
/** Where the libraries' files come from. */
const VENDORED = {
  'marked.mjs': 'marked/lib/marked.esm.js',
  'marked.LICENSE': 'marked/LICENSE',
  'purify.mjs': 'dompurify/dist/purify.es.mjs',
  'purify.LICENSE': 'dompurify/LICENSE',
};

/** A file of a package, whether the package exports it or not. */
async function packageFile(path: string): Promise<string> {
  const [name = ''] = path.split('/', 1);
  const main = require.resolve(name);
  const folder = main.slice(0, main.lastIndexOf(`/node_modules/${name}/`));
  return await readFile(`${folder}/node_modules/${path}`, 'utf8');
}

describe('the files of the page', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer({ apiKey: 'secret' });
    await server.ready;
  });
  after(() => server.close());

  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${server.url}${path}`, { headers });
  /** Everything that a browser loads: the page, and what it and its modules name. */
  async function loaded(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const load = async (path: string): Promise<void> => {
      if (found.has(path)) return;
      const response = await get(path);
      assert.equal(response.status, 200, path);
      const text = await response.text();
      found.set(path, text);
      const named =
        path.endsWith('.mjs') && !path.includes('/vendor/')
          ? [...text.matchAll(/^import [^'"]*'(\.[^']+)'/gm)].map(
              ([, name]) => new URL(name ?? '', `http://x${path}`).pathname,
            )
          : path === '/'
            ? [...text.matchAll(/ (?:href|src)="(page\/[^"]+)"/g)].map(([, name]) => `/${name}`)
            : [];
      for (const next of named) await load(next);
    };
    await load('/');
    return found;
  }

  it('are under 150 kB in all, compressed as they are sent', async () => {
    const files = await loaded();
    assert.ok(files.size > 20, String(files.size));
    const bytes = [...files.values()].reduce((sum, text) => sum + gzipSync(text, { level: 6 }).length, 0);
    assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
    for (const path of files.keys()) {
      if ((files.get(path)?.length ?? 0) < 1024) continue;
      const encoded = await get(path, { 'accept-encoding': 'gzip' });
      assert.equal(encoded.headers.get('content-encoding'), 'gzip', path);
    }
  });

  it('are all used, and none is missing', async () => {
    const used = new Set([...(await loaded()).keys()].map((path) => path.replace('/page/', '')));
    const there = await readdir(FOLDER, { recursive: true, encoding: 'utf8' });
    const unused = there.filter((name) => /\.(?:mjs|css|svg)$/.test(name) && !used.has(name.replaceAll('\\', '/')));
    assert.deepEqual(unused, []);
  });

  it('come without a key, with a policy, and are not sent again where the browser has them', async () => {
    for (const path of ['/', '/page/main.mjs', '/page/layout.css', '/page/vendor/marked.mjs']) {
      const response = await get(path, { 'accept-encoding': 'identity' });
      assert.equal(response.status, 200, path);
      assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'; script-src 'self';/);
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
      assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
      const tag = response.headers.get('etag') ?? '';
      assert.notEqual(tag, '');
      const second = await get(path, { 'if-none-match': tag });
      assert.equal(second.status, 304, path);
      assert.equal(await second.text(), '');
    }
    assert.match((await get('/page/main.mjs')).headers.get('content-type') ?? '', /^text\/javascript/);
    assert.match((await get('/page/layout.css')).headers.get('content-type') ?? '', /^text\/css/);
  });

  it('are these, and nothing else of the machine', async () => {
    for (const path of [
      '/page/nothing.mjs',
      '/page/',
      '/page/vendor/README.md',
      '/page/vendor/marked.LICENSE',
      '/page/../../package.json',
      '/page/..%2f..%2fpackage.json',
      '/page/%2e%2e/%2e%2e/package.json',
      '/page/vendor/../main.mjs%00',
    ]) {
      const response = await get(path, { authorization: 'Bearer secret' });
      assert.equal(response.status, 404, path);
    }
  });

  for (const [name, source] of Object.entries(VENDORED)) {
    it(`have ${name} as the package has it`, async () => {
      const copy = await readFile(new URL(`vendor/${name}`, FOLDER), 'utf8');
      // To update: change devDependencies, then copy the package's file here.
      assert.ok(
        copy === (await packageFile(source)),
        `assets/page/vendor/${name} is not node_modules/${source}: copy it`,
      );
    });
  }
});
