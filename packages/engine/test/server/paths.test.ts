import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import OpenAI from 'openai';
import type { RunningServer } from '../../src/server/start-server.ts';
import { clientOf, post, scripted, startScriptedServer } from './test-server.ts';

describe('paths', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer({ modelId: 'openai/gpt-oss-20b', apiKey: 'secret' });
    await server.ready;
  });
  after(() => server.close());

  it('may name a model with slashes, escaped or not', async () => {
    const client = clientOf(server, 'secret');
    assert.equal((await client.models.retrieve('openai/gpt-oss-20b')).id, 'openai/gpt-oss-20b');
    for (const path of ['openai/gpt-oss-20b', 'openai%2Fgpt-oss-20b', 'openai/gpt-oss-20b/']) {
      const response = await fetch(`${server.url}/v1/models/${path}`, { headers: { 'x-api-key': 'secret' } });
      assert.equal(response.status, 200, path);
    }
    await assert.rejects(client.models.retrieve('openai/gpt-5'), OpenAI.NotFoundError);
  });

  it('may end with a slash', async () => {
    const body = { messages: [{ role: 'user', content: scripted('<|channel|>final<|message|>fine') }] };
    const headers = { 'content-type': 'application/json', authorization: 'Bearer secret' };
    for (const path of ['/v1/chat/completions/', '/v1/responses/']) {
      const response = await post(server, path, path.includes('chat') ? body : { input: 'x' }, { headers });
      assert.equal(response.status, 200, path);
    }
    assert.equal((await fetch(`${server.url}/health/`)).status, 200);
  });

  it('of a version and of a ping answer as those of other servers', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    const told = await fetch(`${server.url}/version`, { headers: { 'x-api-key': 'secret' } });
    assert.deepEqual(await told.json(), { version });
    for (const method of ['GET', 'POST']) assert.equal((await fetch(`${server.url}/ping`, { method })).status, 200);
  });

  it('that are guarded take the key in either header, and no other key', async () => {
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${server.url}/v1/models`, { headers })).status;
    assert.equal(await status({ authorization: 'Bearer secret' }), 200);
    assert.equal(await status({ 'x-api-key': 'secret' }), 200);
    for (const headers of [{}, { 'x-api-key': 'other' }, { authorization: 'Bearer other' }, { 'x-api-key': '' }]) {
      assert.equal(await status(headers), 401);
    }
  });
});
