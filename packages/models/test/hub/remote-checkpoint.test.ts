import assert from 'node:assert/strict';
import { readRemoteCheckpoint } from '../../src/hub/remote-checkpoint.ts';
import { pullModel } from '../../src/hub/pull-model.ts';
import { openSnapshot } from '../../src/snapshot.ts';
import { hubCheckpoint, pullFrom } from '../fixtures/hub-checkpoint.ts';
import { commitOf, type HubFile, LoopbackHub } from '../fixtures/loopback-hub.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';

describe('A checkpoint on a hub', () => {
  let files: Record<string, HubFile>;
  before(async () => {
    files = await hubCheckpoint();
  });

  const withHub = (use: (hub: LoopbackHub, cache: string) => Promise<void>): Promise<void> =>
    withTemporaryFolder(async (cache) => {
      await using hub = await LoopbackHub.serve(files);
      await use(hub, cache);
    });

  it('is described as it will be when it is opened', () =>
    withHub(async (hub, cache) => {
      const options = pullFrom(hub.url, cache);
      const remote = await readRemoteCheckpoint('acme/tiny', options);
      const { path, totalBytes } = await pullModel('acme/tiny', options);
      using snapshot = await openSnapshot(path);
      assert.deepEqual(remote.config, snapshot.config);
      assert.deepEqual(
        [remote.layout, remote.tensorBytes, remote.downloadBytes, remote.commit],
        [snapshot.layout, snapshot.tensorBytes, totalBytes, commitOf('a')],
      );
      const facts = ({ name, dtype, shape }: typeof remote.weights.embedding): unknown => ({ name, dtype, shape });
      assert.deepEqual(facts(remote.weights.embedding), facts(snapshot.weights.embedding));
      assert.throws(() => remote.weights.embedding.bytes, { code: 'NOT_DOWNLOADED' });
    }));

  it('costs its headers and config.json, and no weights', () =>
    withHub(async (hub, cache) => {
      const shard = files['model-00001-of-00002.safetensors']?.bytes ?? Buffer.of();
      const header = Number(Buffer.from(shard.subarray(0, 8)).readBigUInt64LE());
      // As large as a real one, with its weights far behind the header.
      const padded = Buffer.alloc(shard.length + 2 ** 20, ' ');
      padded.writeBigUInt64LE(BigInt(header + 2 ** 20));
      padded.set(shard.subarray(8, 8 + header), 8);
      padded.set(shard.subarray(8 + header), 8 + header + 2 ** 20);
      const large = { ...files, 'model-00001-of-00002.safetensors': { bytes: padded, lfs: true } };
      hub.branches.set('main', { commit: commitOf('a'), files: large });
      const remote = await readRemoteCheckpoint('acme/tiny', pullFrom(hub.url, cache));
      assert.equal(remote.config.layers, 2);
      const asked = new Set(hub.downloads.map(({ path }) => path.split('/').at(-1) ?? ''));
      assert.deepEqual([...asked].sort(), [
        'config.json',
        ...Object.keys(files).filter((name) => name.endsWith('safetensors')),
      ]);
      const ranges = hub.downloads.filter(({ storage, path }) => storage && path.includes('00001'));
      assert.deepEqual(
        ranges.map(({ range }) => range),
        ['bytes=0-131071', `bytes=131072-${8 + header + 2 ** 20 - 1}`],
      );
    }));

  it('is refused where its header or its configuration cannot be', () =>
    withHub(async (hub, cache) => {
      const replaced = async (name: string, bytes: Buffer): Promise<unknown> => {
        hub.branches.set('main', { commit: commitOf('a'), files: { ...files, [name]: { bytes } } });
        return readRemoteCheckpoint('acme/tiny', pullFrom(hub.url, cache));
      };
      const shard = 'model-00001-of-00002.safetensors';
      await assert.rejects(replaced(shard, Buffer.from('short')), { code: 'HUB_RESPONSE' });
      await assert.rejects(replaced(shard, Buffer.alloc(64, 0xff)), { code: 'HUB_RESPONSE' });
      await assert.rejects(replaced('config.json', Buffer.from('{"model_type":"llama"}')), {
        code: 'UNSUPPORTED_ARCHITECTURE',
      });
      await assert.rejects(replaced('config.json', Buffer.from('<html>')), { code: 'INVALID_JSON' });
      await assert.rejects(replaced('config.json', Buffer.alloc(2 ** 20 + 1, ' ')), { code: 'HUB_RESPONSE' });
    }));

  it('is not asked for offline', () =>
    withHub(async (hub, cache) => {
      const options = pullFrom(hub.url, cache, { HF_HUB_OFFLINE: '1' });
      await assert.rejects(readRemoteCheckpoint('acme/tiny', options), { code: 'HUB_OFFLINE' });
      assert.equal(hub.requests.length, 0);
    }));
});
