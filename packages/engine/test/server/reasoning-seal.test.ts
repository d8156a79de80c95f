import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { ReasoningSeal } from '../../src/server/reasoning-seal.ts';
import type { RunningServer } from '../../src/server/start-server.ts';
import { echoed, errorOf, post, scripted, startScriptedServer } from './test-server.ts';

describe('ReasoningSeal', () => {
  const seal = new ReasoningSeal();

  it('gives back any text, does not show it, and never looks the same twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const sealed = seal.seal(text);
        assert.equal(seal.open(sealed), text);
        assert.match(sealed, /^[\w-]+$/);
        if (text.length > 8) assert.ok(!Buffer.from(sealed, 'base64url').toString('utf8').includes(text));
        assert.notEqual(sealed, seal.seal(text));
      }),
    );
  });

  it('opens nothing that was changed anywhere, cut, made up, or sealed elsewhere', () => {
    const sealed = Buffer.from(seal.seal('a thought'), 'base64url');
    for (let place = 0; place < sealed.length; place += 1) {
      const changed = Buffer.from(sealed);
      changed[place] = (changed[place] ?? 0) ^ 1;
      assert.equal(seal.open(changed.toString('base64url')), null);
      assert.equal(seal.open(sealed.subarray(0, place).toString('base64url')), null);
    }
    assert.equal(new ReasoningSeal().open(sealed.toString('base64url')), null);
    fc.assert(fc.property(fc.string(), (text) => assert.equal(seal.open(text), null)));
  });
});

describe('encrypted reasoning', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  const answer = scripted(
    '<|channel|>analysis<|message|>a secret thought<|end|><|start|>assistant<|channel|>final<|message|>said',
  );
  const ask = async (body: object) =>
    (await (await post(server, '/v1/responses', body)).json()) as {
      output: { type: string; encrypted_content?: string }[];
      output_text: string;
    };

  it('comes where it is asked for, and is read back without the text beside it', async () => {
    const plain = await ask({ input: answer });
    assert.equal(plain.output[0]?.encrypted_content, undefined);
    const { output } = await ask({ input: answer, store: false, include: ['reasoning.encrypted_content'] });
    const reasoning = { type: 'reasoning', summary: [], encrypted_content: output[0]?.encrypted_content };
    const call = { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' };
    const result = { type: 'function_call_output', call_id: 'c', output: 'ok' };
    const echo = await ask({ input: [{ role: 'user', content: 'ECHO PROMPT' }, reasoning, call, result] });
    const prompt = echoed(echo.output_text);
    assert.match(prompt, /<\|channel\|>analysis<\|message\|>a secret thought<\|end\|>/);
  });

  it('that cannot be read is a 400, unless its text stands beside it', async () => {
    const reasoning = { type: 'reasoning', encrypted_content: 'AAAA', summary: [] as object[] };
    const response = await post(server, '/v1/responses', { input: [{ role: 'user', content: 'x' }, reasoning] });
    const error = await errorOf(response);
    assert.deepEqual(
      [response.status, error.param, error.code],
      [400, 'input[1].encrypted_content', 'invalid_encrypted_content'],
    );
    reasoning.summary = [{ type: 'summary_text', text: 'in short' }];
    assert.equal(
      (await post(server, '/v1/responses', { input: [{ role: 'user', content: 'x' }, reasoning] })).status,
      200,
    );
  });
});
