import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { hubSettings } from '../../src/hub/hub-settings.ts';
import { locateModel } from '../../src/hub/locate-model.ts';
import { modelNameText, parseModelName } from '../../src/hub/model-name.ts';
import { askedDelayMs, backoffMs } from '../../src/hub/retry-delay.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';

describe('Names of models', () => {
  it('are an owner, a model and perhaps a revision', () => {
    assert.deepEqual(parseModelName('openai/gpt-oss-20b'), { repository: 'openai/gpt-oss-20b', revision: 'main' });
    assert.deepEqual(parseModelName('a/b.c_d@refs/pr/1'), { repository: 'a/b.c_d', revision: 'refs/pr/1' });
    for (const text of ['a/b', 'a/b@v1.0', 'a/b@refs/pr/1']) assert.equal(modelNameText(parseModelName(text)), text);
  });

  const wrong = [
    '',
    'a',
    'a/b/c',
    '/a',
    'a/',
    './a',
    '../a',
    'a/..',
    'a/b--c',
    'a..b/c',
    '-a/b',
    'a/b.',
    'a b/c',
    'a\\b/c',
  ];
  wrong.push(
    'a/b@',
    'a/b@..',
    'a/b@../x',
    'a/b@x/../y',
    'a/b@/x',
    'a/b@x y',
    'a/b@.x',
    `a/${'b'.repeat(96)}`,
    'C:/models',
  );
  for (const text of wrong) {
    it(`are not ${JSON.stringify(text.slice(0, 20))}`, () => {
      assert.throws(() => parseModelName(text), { code: 'INVALID_MODEL_NAME' });
    });
  }

  it('never lead out of a folder', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'B', '.', '-', '_', '/', '@', '\\', '~', ' ') }), (text) => {
        let name: ReturnType<typeof parseModelName>;
        try {
          name = parseModelName(text);
        } catch {
          return;
        }
        const paths = [`models--${name.repository.replaceAll('/', '--')}`, ...name.revision.split('/')];
        for (const path of paths) assert.equal(resolve('/cache', path), `/cache/${path}`);
      }),
    );
  });
});

describe('Settings of the hub', () => {
  const settings = (environment: NodeJS.ProcessEnv): ReturnType<typeof hubSettings> =>
    hubSettings(environment, '/home/me');

  it("are Hugging Face's where nothing is set", () => {
    assert.deepEqual(settings({}), {
      endpoint: 'https://huggingface.co',
      token: null,
      cacheFolder: resolve('/home/me/.cache/huggingface/hub'),
      offline: false,
      timeoutMs: 30_000,
      proxies: { http: undefined, https: undefined, without: undefined },
    });
  });

  it('take the cache from the first variable that names it', () => {
    const all = { XDG_CACHE_HOME: '/x', HF_HOME: '~/hf', HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/new' };
    const { XDG_CACHE_HOME, HF_HOME, HUGGINGFACE_HUB_CACHE } = all;
    assert.equal(settings(all).cacheFolder, resolve('/new'));
    assert.equal(settings({ XDG_CACHE_HOME, HF_HOME, HUGGINGFACE_HUB_CACHE }).cacheFolder, resolve('/old'));
    assert.equal(settings({ XDG_CACHE_HOME, HF_HOME }).cacheFolder, resolve('/home/me/hf/hub'));
    assert.equal(settings({ XDG_CACHE_HOME, HF_HOME: ' ' }).cacheFolder, resolve('/x/huggingface/hub'));
  });

  it('take the token from HF_TOKEN, else from where hf auth login put it', () =>
    withTemporaryFolder((folder) => {
      writeFileSync(join(folder, 'token'), 'hf_stored\n');
      writeFileSync(join(folder, 'other'), 'hf_other\n');
      assert.equal(settings({ HF_HOME: folder }).token, 'hf_stored');
      assert.equal(settings({ HF_HOME: folder, HF_TOKEN_PATH: join(folder, 'other') }).token, 'hf_other');
      assert.equal(settings({ HF_HOME: folder, HF_TOKEN: 'hf_set' }).token, 'hf_set');
      assert.equal(settings({ HF_HOME: folder, HF_HUB_DISABLE_IMPLICIT_TOKEN: 'true' }).token, null);
    }));

  it('know the words for yes, and proxies in both cases of letters', () => {
    for (const word of ['1', 'ON', 'yes', 'True']) assert.equal(settings({ HF_HUB_OFFLINE: word }).offline, true);
    for (const word of ['', '0', 'off', 'no']) assert.equal(settings({ HF_HUB_OFFLINE: word }).offline, false);
    assert.equal(settings({ TRANSFORMERS_OFFLINE: '1' }).offline, true);
    assert.deepEqual(settings({ ALL_PROXY: 'http://a', https_proxy: 'http://b', NO_PROXY: 'c' }).proxies, {
      http: 'http://a',
      https: 'http://b',
      without: 'c',
    });
  });

  it('refuse what cannot be, and never show a token', () => {
    for (const environment of [
      { HF_ENDPOINT: 'huggingface.co' },
      { HF_ENDPOINT: 'file:///x' },
      { HF_HUB_DOWNLOAD_TIMEOUT: 'soon' },
      { HF_HUB_DOWNLOAD_TIMEOUT: '0' },
    ]) {
      assert.throws(() => settings(environment), {
        code: 'INVALID_HUB_SETTING',
        variable: Object.keys(environment)[0],
      });
    }
    assert.throws(
      () => settings({ HF_TOKEN: 'my secret' }),
      (error: Error) => !error.message.includes('secret') && error.message.includes('HF_TOKEN'),
    );
    assert.equal(settings({ HF_ENDPOINT: 'https://mirror.example/hub//' }).endpoint, 'https://mirror.example/hub');
  });
});

describe('Finding a model', () => {
  it('takes a folder before a name, and says how to get what is not there', () =>
    withTemporaryFolder((folder) => {
      const settings = { cacheFolder: join(folder, 'cache') };
      assert.deepEqual(locateModel(folder, settings), { path: folder, name: folder });
      assert.throws(
        () => locateModel('openai/gpt-oss-20b', settings),
        /^ModelNotFoundError: There is no model openai\/gpt-oss-20b · .* · download it: npx @switchyard\/engine pull openai\/gpt-oss-20b$/,
      );
      assert.throws(() => locateModel('a/b@v1', settings), /pull a\/b@v1$/);
      assert.throws(
        () => locateModel(join(folder, 'nothing', 'here'), settings),
        /there is no such folder · .*: npx @switchyard\/engine pull openai\/gpt-oss-20b$/,
      );
      mkdirSync(join(folder, 'cache', 'models--a--b', 'refs'), { recursive: true });
      writeFileSync(join(folder, 'cache', 'models--a--b', 'refs', 'main'), '../../../etc');
      assert.throws(() => locateModel('a/b', settings), { code: 'MODEL_NOT_FOUND' });
    }));
});

describe('Waits before a hub is asked again', () => {
  const asked = (headers: Record<string, string>, now = 0): number | null => askedDelayMs(new Headers(headers), now);

  it('are those that it asks for, in seconds, as a date or in RateLimit', () => {
    assert.equal(asked({ 'retry-after': '7' }), 7000);
    assert.equal(asked({ 'retry-after': 'Thu, 01 Jan 1970 00:00:09 GMT' }, 4000), 5000);
    assert.equal(asked({ 'retry-after': 'Thu, 01 Jan 1970 00:00:09 GMT' }, 10_000), 0);
    assert.equal(asked({ ratelimit: '"api";r=0;t=55' }), 55_000);
    assert.equal(asked({ ratelimit: '"api";r=0;t=55', 'retry-after': '1' }), 1000);
    assert.equal(asked({}), null);
    assert.equal(asked({ 'retry-after': 'soon' }), null);
  });

  it('else double, up to half a minute, and are spread', () => {
    assert.deepEqual(
      [1, 2, 3, 9].map((failures) => backoffMs(failures, () => 0)),
      [500, 1000, 2000, 30_000],
    );
    assert.equal(
      backoffMs(1, () => 1),
      250,
    );
  });
});
