import assert from 'node:assert/strict';
import * as zlib from 'node:zlib';
import type { RunningServer } from '../../src/server/start-server.ts';
import { errorOf, post, scripted, startScriptedServer } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const LIMIT = 64 * 1024;
const BODY = JSON.stringify({ messages: [{ role: 'user', content: scripted('<|channel|>final<|message|>fine é🧀') }] });
/** BODY as `zstd -19` writes it: literals by Huffman codes, and a checksum. */
const COMPRESSED =
  'KLUv/SR+LQMA4oYWGHBvDr59UfZvKUtBffD9x9rdlM5x6KoqnNdyKRuebCBroFxmgnN/b9+3z53ht/fh/15+fPd+v334nh8vkBjFQSAalYqaiiTW' +
  'QKeelUbtR5rUUqLOduScDakVAgDA3hmXOgNBLa2w';

/** A frame of zstd without anything compressed: blocks as they are, or one byte many times over (RFC 8878, 3.1.1). */
function zstdFrame(data: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(data.length);
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]), size];
  for (let at = 0; at === 0 || at < data.length; at += 2 ** 17) {
    const block = data.subarray(at, at + 2 ** 17);
    const isRun = block.length > 0 && block.every((byte) => byte === block[0]);
    const header = Buffer.alloc(4);
    header.writeUInt32LE((block.length << 3) | (isRun ? 2 : 0) | Number(at + block.length >= data.length));
    parts.push(header.subarray(0, 3), isRun ? block.subarray(0, 1) : block);
  }
  return Buffer.concat(parts);
}

const ENCODERS: Readonly<Record<string, (data: Buffer) => Buffer>> = {
  identity: (data) => data,
  gzip: zlib.gzipSync,
  'x-gzip': zlib.gzipSync,
  GZIP: zlib.gzipSync,
  deflate: zlib.deflateSync,
  br: zlib.brotliCompressSync,
  'gzip, br': (data) => zlib.brotliCompressSync(zlib.gzipSync(data)),
  zstd: zstdFrame,
};

describe('encoded bodies', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer({ maxBodyBytes: LIMIT });
    await server.ready;
  });
  after(() => server.close());

  const send = (body: Buffer, encoding: string): Promise<Response> =>
    post(server, CHAT, '', { body, headers: { 'content-type': 'application/json', 'content-encoding': encoding } });

  it('are read in every encoding that HTTP clients use', async () => {
    for (const [encoding, encode] of Object.entries(ENCODERS)) {
      const response = await send(encode(Buffer.from(BODY)), encoding);
      assert.match(await response.text(), /"content":"fine é🧀"/, encoding);
      assert.equal(response.status, 200);
    }
    const compressed = await send(Buffer.from(COMPRESSED, 'base64'), 'zstd');
    assert.match(await compressed.text(), /"content":"fine é🧀"/);
    // Some clients mean the bare data by deflate.
    assert.equal((await send(zlib.deflateRawSync(BODY), 'deflate')).status, 200);
  });

  it('that are larger than the limit when decoded are 413, however small they were', async () => {
    const bomb = Buffer.alloc(32 * 2 ** 20, ' ');
    for (const [encoding, encode] of Object.entries(ENCODERS)) {
      if (encoding === 'identity' || encoding === 'gzip, br') continue;
      const small = encode(bomb);
      const response = await send(small.length > LIMIT ? encode(bomb.subarray(0, 2 * LIMIT)) : small, encoding);
      assert.deepEqual([response.status, (await errorOf(response)).code], [413, 'body_too_large'], encoding);
    }
    const stacked = await send(zlib.gzipSync(zlib.gzipSync(bomb)), 'gzip, gzip');
    assert.equal(stacked.status, 413);
    assert.equal((await send(Buffer.alloc(LIMIT + 1, ' '), 'gzip')).status, 413);
  }).timeout(60_000);

  it('of an unknown encoding are 415, and what is known is told', async () => {
    for (const encoding of ['compress', 'gzip, unheard-of', 'gzip, gzip, gzip']) {
      const response = await send(Buffer.from(BODY), encoding);
      assert.equal(response.status, 415, encoding);
      assert.equal((await errorOf(response)).code, 'unsupported_encoding');
      assert.match(response.headers.get('accept-encoding') ?? '', /^gzip, deflate, br, zstd$/);
    }
  });

  it('that are broken are 400, wherever they break', async () => {
    for (const [encoding, encode] of Object.entries(ENCODERS)) {
      if (encoding === 'identity') continue;
      const whole = encode(Buffer.from(BODY));
      for (const broken of [Buffer.from(BODY), whole.subarray(0, whole.length / 2), Buffer.alloc(0)]) {
        const response = await send(broken, encoding);
        assert.equal(response.status, 400, encoding);
        assert.match((await errorOf(response)).code ?? '', /^invalid_(?:encoding|json)$/);
      }
    }
  });
});
