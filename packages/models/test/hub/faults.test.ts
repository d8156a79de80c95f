import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { locateModel } from '../../src/hub/locate-model.ts';
import { pullModel } from '../../src/hub/pull-model.ts';
import type { PullProgress } from '../../src/hub/pull-progress.ts';
import { hubCheckpoint, pullFrom, WANTED_FILES } from '../fixtures/hub-checkpoint.ts';
import { type Fault, type HubFile, LoopbackHub } from '../fixtures/loopback-hub.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';

const SHARD = 'model-00002-of-00002.safetensors';

describe('Pulling a model when things go wrong', () => {
  let files: Record<string, HubFile>;
  before(async () => {
    files = await hubCheckpoint();
  });

  const withHub = (use: (hub: LoopbackHub, cache: string) => Promise<void>): Promise<void> =>
    withTemporaryFolder(async (cache) => {
      await using hub = await LoopbackHub.serve(files);
      await use(hub, cache);
    });
  const total = (): number => WANTED_FILES.reduce((sum, name) => sum + (files[name]?.bytes.length ?? 0), 0);
  const isWhole = (path: string): boolean =>
    WANTED_FILES.every((name) => Buffer.from(files[name]?.bytes ?? []).equals(readFileSync(join(path, name))));

  it('goes on behind the last byte where connections break off', () =>
    withHub(async (hub, cache) => {
      let cuts = 0;
      hub.fault = ({ storage, range }) => (storage && range !== null && cuts++ % 2 === 0 ? { cutAfter: 1000 } : null);
      const { path, downloadedBytes } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.ok(cuts > 4);
      assert.ok(isWhole(path));
      // No byte came twice.
      assert.equal(downloadedBytes, total());
    }));

  it('gives up where no byte comes any more, and keeps what came', () =>
    withHub(async (hub, cache) => {
      hub.fault = ({ path }) => (path.endsWith(SHARD) ? { cutAfter: 0 } : null);
      const options = { ...pullFrom(hub.url, cache), attempts: 3 };
      await assert.rejects(pullModel('acme/tiny', options), { code: 'HUB_UNREACHABLE' });
      assert.throws(() => locateModel('acme/tiny', { cacheFolder: cache }), { code: 'MODEL_NOT_FOUND' });
      hub.fault = () => null;
      const { downloadedBytes, path } = await pullModel('acme/tiny', options);
      assert.ok(downloadedBytes < total());
      assert.ok(isWhole(path));
    }));

  it('gives up on a hub that stays silent, and on one that is not there', () =>
    withHub(async (hub, cache) => {
      hub.fault = () => ({ silent: true });
      const options = { ...pullFrom(hub.url, cache, { HF_HUB_DOWNLOAD_TIMEOUT: '0.2' }), attempts: 2 };
      await assert.rejects(pullModel('acme/tiny', options), { code: 'HUB_UNREACHABLE' });
      assert.equal(hub.requests.length, 2);
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      server.close();
      const gone = pullFrom(`http://127.0.0.1:${port}`, cache);
      await assert.rejects(
        pullModel('acme/tiny', { ...gone, attempts: 2 }),
        /^HubUnreachableError: The hub cannot be reached at http:\/\/127\.0\.0\.1:\d+ · .*ECONNREFUSED.* · check the network, HTTPS_PROXY/,
      );
    }));

  it('refuses bytes of another hash, takes them away, and gets them right the next time', () =>
    withHub(async (hub, cache) => {
      hub.fault = ({ storage, path, range }) =>
        storage && path.endsWith(SHARD) && range?.startsWith('bytes=3000-') ? { corruptAt: 7 } : null;
      const options = pullFrom(hub.url, cache);
      await assert.rejects(pullModel('acme/tiny', options), (error: Error) => {
        assert.match(
          error.message,
          /^model-00002-of-00002\.safetensors was damaged on its way · its hash is [0-9a-f]{64}/,
        );
        return 'code' in error && error.code === 'CHECKSUM_MISMATCH';
      });
      assert.throws(() => locateModel('acme/tiny', { cacheFolder: cache }), { code: 'MODEL_NOT_FOUND' });
      const hash = createHash('sha256')
        .update(files[SHARD]?.bytes ?? '')
        .digest('hex');
      const left = readdirSync(join(cache, 'models--acme--tiny', 'blobs'));
      assert.deepEqual(
        left.filter((name) => name.startsWith(hash)),
        [],
      );
      hub.fault = () => null;
      assert.ok(isWhole((await pullModel('acme/tiny', options)).path));
    }));

  it('refuses a small file of another hash as well', () =>
    withHub(async (hub, cache) => {
      hub.fault = ({ path }) => (path.endsWith('config.json') ? { corruptAt: 0 } : null);
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), { code: 'CHECKSUM_MISMATCH' });
    }));

  it('starts a file over whose earlier part is damaged', () =>
    withHub(async (hub, cache) => {
      const options = pullFrom(hub.url, cache);
      hub.fault = ({ path, range }) =>
        path.endsWith(SHARD) && !range?.startsWith('bytes=0-') ? { status: 403 } : null;
      await assert.rejects(pullModel('acme/tiny', options), { code: 'HUB_ACCESS_DENIED' });
      hub.fault = () => null;
      const blobs = join(cache, 'models--acme--tiny', 'blobs');
      const partial = readdirSync(blobs).find((name) => name.endsWith('.incomplete-pieces'));
      assert.ok(partial !== undefined);
      const bytes = readFileSync(join(blobs, partial));
      writeFileSync(join(blobs, partial), bytes.fill(0, 0, 100));
      assert.ok(isWhole((await pullModel('acme/tiny', options)).path));
    }));

  it('waits as long as a hub with too many requests asks, and says so', () =>
    withHub(async (hub, cache) => {
      let refused = 0;
      hub.fault = ({ path }) =>
        path.endsWith('tokenizer.json') && refused++ === 0 ? { status: 429, headers: { 'retry-after': '1' } } : null;
      const told: PullProgress[] = [];
      const began = performance.now();
      const { path } = await pullModel('acme/tiny', {
        ...pullFrom(hub.url, cache),
        onProgress: (progress) => told.push(progress),
      });
      assert.ok(performance.now() - began >= 990);
      assert.ok(isWhole(path));
      const waiting = told.filter(({ phase }) => phase === 'waiting').map(({ what }) => what);
      assert.equal(waiting.length, 1);
      assert.match(waiting[0] ?? '', /takes no more requests for now .* in 1 s/);
    }));

  it('does not wait for an hour', () =>
    withHub(async (hub, cache) => {
      hub.fault = () => ({ status: 429, headers: { ratelimit: '"api";r=0;t=3600' } });
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), {
        code: 'HUB_BUSY',
        retryAfterSeconds: 3600,
      });
      assert.equal(hub.requests.length, 1);
    }));

  it('asks again after failures of the hub, so many times', () =>
    withHub(async (hub, cache) => {
      let failures = 0;
      hub.fault = ({ path }) => (path.startsWith('/api/') && failures++ < 3 ? { status: 503 } : null);
      assert.ok(isWhole((await pullModel('acme/tiny', pullFrom(hub.url, cache))).path));
      hub.fault = () => ({ status: 500 });
      hub.requests.length = 0;
      await assert.rejects(pullModel('acme/tiny', { ...pullFrom(hub.url, cache), attempts: 4 }), {
        code: 'HUB_RESPONSE',
        status: 500,
      });
      assert.equal(hub.requests.length, 4);
    }));

  it('asks again for a list that breaks off, and refuses one that is none', () =>
    withHub(async (hub, cache) => {
      let cuts = 0;
      hub.fault = ({ path }) => (path.startsWith('/api/') && cuts++ % 2 === 0 ? { cutAfter: 20 } : null);
      assert.ok(isWhole((await pullModel('acme/tiny', pullFrom(hub.url, cache))).path));
      hub.fault = ({ path }) => (path.includes('/revision/') ? { corruptAt: 0 } : null);
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), { code: 'HUB_RESPONSE' });
      hub.fault = ({ path }) => (path.includes('/tree/') ? { corruptAt: 0 } : null);
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), { code: 'HUB_RESPONSE' });
    }));

  it('reads a list of several pages, and gives no token to where a page is said to be', () =>
    withHub(async (hub, cache) => {
      hub.pages = { size: 3, origin: hub.storageUrl };
      const { path } = await pullModel('acme/tiny', pullFrom(hub.url, cache, { HF_TOKEN: 'hf_secret' }));
      assert.ok(isWhole(path));
      const lists = hub.requests.filter((request) => request.path.includes('/tree/'));
      assert.equal(lists.length, 4);
      assert.deepEqual(
        lists.map(({ authorization }) => authorization),
        ['Bearer hf_secret', null, null, null],
      );
    }));

  const GATED = { 'x-error-code': 'GatedRepo' };
  const refusals: readonly (readonly [what: string, token: string | undefined, fault: Fault, message: RegExp])[] = [
    ['401 without a token', undefined, { status: 401 }, /status 401 with no token · set HF_TOKEN to a token of http/],
    ['401 with a token', 'hf_old', { status: 401 }, /status 401 with the token that is set · set HF_TOKEN/],
    ['403', 'hf_x', { status: 403, headers: GATED }, /status 403 .* · accept the model's terms at http:.*\/acme\/tiny/],
    ['401 for a gated model', 'hf_x', { status: 401, headers: GATED }, /accept the model's terms/],
    ['a gated model without a token', undefined, { status: 401, headers: GATED }, /no token · set HF_TOKEN/],
    ['404', undefined, { status: 404 }, /no such model of acme\/tiny .* · check the spelling; a private model needs/],
    [
      '401 for a model that is not there',
      undefined,
      { status: 401, headers: { 'x-error-code': 'RepoNotFound' } },
      /no such model/,
    ],
  ];
  for (const [what, token, fault, message] of refusals) {
    it(`says what to do after ${what}, and asks once`, () =>
      withHub(async (hub, cache) => {
        hub.fault = () => fault;
        const options = pullFrom(hub.url, cache, token === undefined ? {} : { HF_TOKEN: token });
        await assert.rejects(pullModel('acme/tiny', options), message);
        assert.equal(hub.requests.length, 1);
      }));
  }

  it('names a revision that is not there', () =>
    withHub(async (hub, cache) => {
      await assert.rejects(pullModel('acme/tiny@nowhere', pullFrom(hub.url, cache)), { missing: 'revision' });
    }));

  it('refuses a repository without weights that can be read, and lists what it has', () =>
    withHub(async (hub, cache) => {
      const only = ['config.json', 'tiny.gguf'].map((name) => [name, files[name] ?? { bytes: Buffer.of() }] as const);
      hub.branches.set('main', { commit: 'a'.repeat(40), files: Object.fromEntries(only) });
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), /found config\.json, tiny\.gguf/);
    }));

  it('refuses names of files that would lead out of the cache', () =>
    withHub(async (hub, cache) => {
      hub.branches.set('main', {
        commit: 'a'.repeat(40),
        files: { ...files, '../../evil.json': { bytes: Buffer.from('{}') }, 'sub/evil.json': { bytes: Buffer.of() } },
      });
      const { path } = await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.deepEqual(readdirSync(path).sort(), WANTED_FILES);
    }));

  it('refuses a mirror that does not know ranges, and one that has another file', () =>
    withHub(async (hub, cache) => {
      hub.fault = ({ storage }) => (storage ? { wholeFile: true } : null);
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), /the whole file in place of a part/);
      // In one piece it works with such a mirror too.
      assert.ok(isWhole((await pullModel('acme/tiny', { ...pullFrom(hub.url, cache), pieceBytes: 1e6 })).path));
    }));

  it('writes nothing where the disk has no room', () =>
    withHub(async (hub, cache) => {
      const folder = join(cache, 'hub');
      const options = { ...pullFrom(hub.url, folder), freeBytes: async () => 1e6 };
      await assert.rejects(pullModel('acme/tiny', options), {
        code: 'DISK_FULL',
        neededBytes: total(),
        freeBytes: 1e6,
      });
      assert.ok(!existsSync(join(folder, 'models--acme--tiny')));
      assert.equal(hub.downloads.length, 0);
    }));

  it('says so where the disk is full in the middle', async function () {
    if (!existsSync('/dev/full')) {
      console.log('      skipped: there is no /dev/full');
      this.skip();
    }
    await withHub(async (hub, cache) => {
      const options = pullFrom(hub.url, cache);
      const { path } = await pullModel('acme/tiny', options);
      const hash = readlinkSync(join(path, SHARD)).slice(-64);
      await withTemporaryFolder(async (full) => {
        const blobs = join(full, 'models--acme--tiny', 'blobs');
        mkdirSync(blobs, { recursive: true });
        symlinkSync('/dev/full', join(blobs, `${hash}.incomplete-pieces`));
        await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, full)), { code: 'DISK_FULL', freeBytes: null });
      });
    });
  });

  it('says whose download goes on, and takes over from one that is gone', () =>
    withHub(async (hub, cache) => {
      const locks = join(cache, '.locks', 'models--acme--tiny');
      mkdirSync(locks, { recursive: true });
      const lock = join(locks, 'switchyard.lock');
      writeFileSync(lock, `${process.ppid} ${hostname()}\n`);
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), { code: 'PULL_IN_PROGRESS' });
      writeFileSync(lock, `1 another-machine\n`);
      await assert.rejects(pullModel('acme/tiny', pullFrom(hub.url, cache)), /by process 1 of another-machine/);
      const longAgo = new Date(Date.now() - 3_600_000);
      utimesSync(lock, longAgo, longAgo);
      await pullModel('acme/tiny', pullFrom(hub.url, cache));
      // No process has this number.
      writeFileSync(lock, `4194305 ${hostname()}\n`);
      await pullModel('acme/tiny', pullFrom(hub.url, cache));
      assert.deepEqual(readdirSync(locks), []);
    }));

  it('lets one of two pulls at a time through, and the other say so', () =>
    withHub(async (hub, cache) => {
      const both = await Promise.allSettled([1, 2].map(() => pullModel('acme/tiny', pullFrom(hub.url, cache))));
      assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
      const codes = both.flatMap((each) =>
        each.status === 'rejected' ? [(each.reason as { code: string }).code] : [],
      );
      assert.deepEqual(codes, ['PULL_IN_PROGRESS']);
    }));

  it('goes through the proxy that is set', () =>
    withHub(async (hub, cache) => {
      const asked: string[] = [];
      const target = new URL(hub.url);
      const sockets = new Set<Socket>();
      const proxy = createServer((request, response) => {
        asked.push(request.url ?? '');
        response.writeHead(501).end();
      });
      proxy.on('connect', (request, socket: Socket, head: Buffer) => {
        asked.push(request.url ?? '');
        const upstream = connect(Number(target.port), target.hostname, () => {
          socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
          upstream.write(head);
          upstream.pipe(socket).pipe(upstream);
        });
        for (const each of [socket, upstream]) {
          sockets.add(each);
          each.on('error', () => each.destroy());
        }
      });
      proxy.listen(0, '127.0.0.1');
      await once(proxy, 'listening');
      try {
        const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
        hub.branches.set('main', {
          commit: 'a'.repeat(40),
          files: Object.fromEntries(Object.entries(files).map(([name, { bytes }]) => [name, { bytes }])),
        });
        // No resolver knows this host: only the proxy can.
        const options = pullFrom('http://hub.invalid', cache, { HTTP_PROXY: address });
        assert.ok(isWhole((await pullModel('acme/tiny', options)).path));
        assert.ok(asked.length > 0 && asked.every((url) => url.startsWith('hub.invalid')), asked.join());
        await withTemporaryFolder(async (other) => {
          const past = pullFrom(hub.url, other, { HTTP_PROXY: 'http://127.0.0.1:1', NO_PROXY: '127.0.0.1' });
          assert.ok(isWhole((await pullModel('acme/tiny', past)).path));
        });
      } finally {
        for (const socket of sockets) socket.destroy();
        proxy.closeAllConnections();
        proxy.close();
      }
    }));
});
