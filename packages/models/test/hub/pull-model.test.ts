import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locateModel } from '../../src/hub/locate-model.ts';
import { pullModel } from '../../src/hub/pull-model.ts';
import type { PullProgress } from '../../src/hub/pull-progress.ts';
import { openSnapshot } from '../../src/snapshot.ts';
import { hubCheckpoint, pullFrom, WANTED_FILES } from '../fixtures/hub-checkpoint.ts';
import { commitOf, type HubFile, LoopbackHub } from '../fixtures/loopback-hub.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';

describe('Pulling a model', () => {
  let files: Record<string, HubFile>;
  before(async () => {
    files = await hubCheckpoint();
  });

  const total = (): number => WANTED_FILES.reduce((sum, name) => sum + (files[name]?.bytes.length ?? 0), 0);
  const withHub = (use: (hub: LoopbackHub, cache: string) => Promise<void>): Promise<void> =>
    withTemporaryFolder(async (cache) => {
      await using hub = await LoopbackHub.serve(files);
      await use(hub, cache);
    });

  it('gives a folder that opens, found by name afterwards, with the checkpoint and nothing else', () =>
    withHub(async (hub, cache) => {
      const options = pullFrom(hub.url, cache);
      const { path, commit, totalBytes, downloadedBytes, name } = await pullModel('acme/tiny', options);
      assert.deepEqual([name, commit, totalBytes, downloadedBytes], ['acme/tiny', commitOf('a'), total(), total()]);
      assert.deepEqual(readdirSync(path).sort(), WANTED_FILES);
      for (const file of WANTED_FILES)
        assert.deepEqual(readFileSync(join(path, file)), Buffer.from(files[file]?.bytes ?? []));
      using snapshot = await openSnapshot(locateModel('acme/tiny', { cacheFolder: cache }).path);
      assert.equal(snapshot.config.layers, 2);
    }));

  it("lays files out as Hugging Face's tools do: bytes under their hash, links to them, and the branch's commit", () =>
    withHub(async (hub, cache) => {
      const { path } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      const folder = join(cache, 'models--acme--tiny');
      assert.equal(path, join(folder, 'snapshots', commitOf('a')));
      assert.equal(readFileSync(join(folder, 'refs', 'main'), 'utf8'), commitOf('a'));
      const blobs = readdirSync(join(folder, 'blobs'));
      assert.equal(blobs.length, WANTED_FILES.length);
      if (process.platform === 'win32') return;
      for (const file of WANTED_FILES) {
        const link = readlinkSync(join(path, file));
        assert.match(link, file.endsWith('.safetensors') ? /^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/ : /\/[0-9a-f]{40}$/);
      }
      // git hash-object of nothing.
      assert.match(readlinkSync(join(path, 'chat_template.jinja')), /e69de29bb2d1d6434b8b29ae775ad8c2e48c5391$/);
    }));

  it('asks for several parts at a time, each byte once', () =>
    withHub(async (hub, cache) => {
      await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.ok(hub.mostAtOnce > 2, `${hub.mostAtOnce}`);
      const shard = hub.downloads.filter(({ storage, path }) => storage && path.includes('00001'));
      const size = files['model-00001-of-00002.safetensors']?.bytes.length ?? 0;
      assert.deepEqual(
        shard.map(({ range }) => range ?? '').sort(),
        Array.from(
          { length: Math.ceil(size / 3000) },
          (_, piece) => `bytes=${piece * 3000}-${Math.min(size, (piece + 1) * 3000) - 1}`,
        ).sort(),
      );
      await withTemporaryFolder(async (other) => {
        hub.mostAtOnce = 0;
        await pullModel('acme/tiny', { ...pullFrom(hub.url, other), connections: 1 });
        assert.ok(hub.mostAtOnce <= 2, `${hub.mostAtOnce}`);
      });
    }));

  it('downloads nothing that is there, and of another commit only what changed', () =>
    withHub(async (hub, cache) => {
      await pullModel('acme/tiny', pullFrom(hub.url, cache));
      const asked = hub.downloads.length;
      assert.equal((await pullModel('acme/tiny', pullFrom(hub.url, cache))).downloadedBytes, 0);
      assert.equal(hub.downloads.length, asked);
      const licence = Buffer.from('as we like');
      hub.branches.set('main', { commit: commitOf('b'), files: { ...files, LICENSE: { bytes: licence } } });
      const { path, downloadedBytes } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.equal(downloadedBytes, licence.length);
      assert.deepEqual(readdirSync(path).sort(), WANTED_FILES);
      assert.equal(locateModel('acme/tiny', { cacheFolder: cache }).path, path);
    }));

  it('takes a branch, a tag with slashes, or a commit', () =>
    withHub(async (hub, cache) => {
      hub.branches.set('refs/pr/1', { commit: commitOf('c'), files });
      const options = pullFrom(hub.url, cache);
      const pulled = await pullModel('acme/tiny@refs/pr/1', options);
      assert.deepEqual([pulled.name, pulled.commit], ['acme/tiny@refs/pr/1', commitOf('c')]);
      assert.equal((await pullModel(`acme/tiny@${commitOf('a')}`, options)).commit, commitOf('a'));
      assert.equal(locateModel('acme/tiny@refs/pr/1', { cacheFolder: cache }).path, pulled.path);
      assert.throws(() => locateModel('acme/tiny', { cacheFolder: cache }), { code: 'MODEL_NOT_FOUND' });
    }));

  it('goes on where an earlier pull was stopped', () =>
    withHub(async (hub, cache) => {
      const options = pullFrom(hub.url, cache);
      const stop = new AbortController();
      const onProgress = ({ doneBytes }: PullProgress): void => {
        if (doneBytes > total() / 2) stop.abort(new Error('enough'));
      };
      await assert.rejects(pullModel('acme/tiny', { ...options, signal: stop.signal, onProgress }), /^Error: enough$/);
      assert.throws(() => locateModel('acme/tiny', { cacheFolder: cache }), { code: 'MODEL_NOT_FOUND' });
      const { downloadedBytes, path } = await pullModel('acme/tiny', options);
      assert.ok(downloadedBytes < total() / 2 + 1, `${downloadedBytes} of ${total()}`);
      using snapshot = await openSnapshot(path);
      assert.equal(snapshot.config.layers, 2);
      assert.deepEqual(
        readdirSync(join(cache, 'models--acme--tiny', 'blobs')).filter((name) => name.includes('.')),
        [],
      );
    }));

  it('tells how far it is: bytes only grow, up to the whole', () =>
    withHub(async (hub, cache) => {
      const told: PullProgress[] = [];
      await pullModel('acme/tiny', { ...pullFrom(hub.url, cache), onProgress: (progress) => told.push(progress) });
      assert.equal(told[0]?.phase, 'asking');
      const downloading = told.filter(({ phase }) => phase === 'downloading');
      for (const [i, { doneBytes, totalBytes }] of downloading.entries()) {
        assert.ok(doneBytes >= (downloading[i - 1]?.doneBytes ?? 0));
        assert.equal(totalBytes, total());
      }
      assert.equal(downloading.at(-1)?.doneBytes, total());
    }));

  it('sends the token to the hub, and not to the host that the hub redirects to', () =>
    withHub(async (hub, cache) => {
      await pullModel('acme/tiny', pullFrom(hub.url, cache, { HF_TOKEN: 'hf_secret' }));
      for (const { storage, authorization } of hub.requests) {
        assert.equal(authorization, storage ? null : 'Bearer hf_secret');
      }
      assert.ok(hub.requests.some(({ storage }) => storage));
    }));

  it('asks nobody where HF_HUB_OFFLINE is set, and takes what is whole', () =>
    withHub(async (hub, cache) => {
      const offline = pullFrom(hub.url, cache, { HF_HUB_OFFLINE: '1' });
      await assert.rejects(pullModel('acme/tiny', offline), { code: 'HUB_OFFLINE' });
      assert.equal(hub.requests.length, 0);
      const { path } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      const asked = hub.requests.length;
      const found = await pullModel('acme/tiny', offline);
      assert.deepEqual([found.path, found.totalBytes, found.downloadedBytes], [path, total(), 0]);
      assert.equal(hub.requests.length, asked);
    }));

  it('mends a link that leads nowhere and a blob that is too short', () =>
    withHub(async (hub, cache) => {
      const { path } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      const blob = join(cache, 'models--acme--tiny', 'blobs', readlinkSync(join(path, 'tokenizer.json')).slice(-40));
      writeFileSync(blob, '{');
      const { downloadedBytes } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.equal(downloadedBytes, files['tokenizer.json']?.bytes.length);
      assert.equal(statSync(join(path, 'tokenizer.json')).size, downloadedBytes);
      assert.ok(lstatSync(join(path, 'tokenizer.json')).isSymbolicLink());
    }));

  it('shares a cache with a download of another tool that took the small files alone', () =>
    withHub(async (hub, cache) => {
      const folder = join(cache, 'models--acme--tiny');
      mkdirSync(join(folder, 'refs'), { recursive: true });
      mkdirSync(join(folder, 'snapshots', commitOf('a')), { recursive: true });
      writeFileSync(join(folder, 'refs', 'main'), commitOf('a'));
      writeFileSync(join(folder, 'snapshots', commitOf('a'), 'config.json'), files['config.json']?.bytes ?? '');
      assert.throws(
        () => locateModel('acme/tiny', { cacheFolder: cache }),
        /its download has not ended: .* lacks tokenizer\.json, model\.safetensors · download it: npx @switchyard\/engine pull acme\/tiny$/,
      );
      const { path } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.deepEqual(readdirSync(path).sort(), WANTED_FILES);
    }));
});
