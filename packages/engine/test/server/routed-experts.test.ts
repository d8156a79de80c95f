import assert from 'node:assert/strict';
import { Engine } from '../../src/engine.ts';
import type { RoutingEvent } from '../../src/events.ts';
import type { RunningServer } from '../../src/server/start-server.ts';
import { errorOf, post, startModelServer } from './test-server.ts';

const MESSAGES = [{ role: 'user', content: 'What is 17 + 25?' }] as const;
const BODY = { messages: MESSAGES, temperature: 0, max_completion_tokens: 12 };

interface Routed {
  readonly position: number;
  readonly tokens: readonly string[];
  readonly layers: readonly { readonly layer: number; readonly experts: number[][]; readonly weights: number[][] }[];
}
interface Choice {
  readonly routed_experts?: readonly Routed[];
}

/** The experts and weights of each position, layer by layer. */
function byPosition(runs: readonly Routed[]): Map<number, object> {
  const rows = runs.flatMap(({ position, tokens, layers }) =>
    tokens.map((token, row): [number, object] => [
      position + row,
      {
        token,
        layers: layers.map(({ layer, experts, weights }) => ({ layer, experts: experts[row], weights: weights[row] })),
      },
    ]),
  );
  return new Map(rows.sort(([first], [second]) => first - second));
}

describe('routed_experts of chat completions', () => {
  let server: RunningServer;
  before(async () => {
    server = await startModelServer();
  });
  after(() => server.close());

  /** What the engine itself says of the same request. */
  async function traced(): Promise<Map<number, object>> {
    await using engine = await Engine.load(undefined, { router: 'cpu' });
    const runs: Routed[] = [];
    const request = { messages: MESSAGES, temperature: 0, maxTokens: 12, traceRouting: true };
    for await (const event of engine.generate(request)) {
      if (event.type === 'routing') runs.push(asRouted(engine, event));
    }
    return byPosition(runs);
  }
  function asRouted(engine: Engine, { position, ids, layers, tokens }: RoutingEvent): Routed {
    assert.equal(ids.length, tokens);
    const rows = (values: ArrayLike<number>): number[][] => {
      const topK = values.length / tokens;
      return ids.map((_, row) => Array.from({ length: topK }, (_, place) => values[row * topK + place] ?? NaN));
    };
    return {
      position,
      tokens: ids.map((id) => engine.detokenize([id])),
      layers: layers.map(({ layer, ids: experts, weights }) => ({
        layer,
        experts: rows(experts),
        weights: rows(weights).map((row) => row.map((weight) => Number(weight.toPrecision(4)))),
      })),
    };
  }
  async function streamed(body: object): Promise<Routed[]> {
    const text = await (await post(server, '/v1/chat/completions', { ...BODY, ...body, stream: true })).text();
    const events = text.split('\n\n').filter((event) => event.startsWith('data: {'));
    return events.flatMap((event) => {
      const { choices } = JSON.parse(event.slice(6)) as { choices: readonly Choice[] };
      return choices[0]?.routed_experts ?? [];
    });
  }

  it('are what the engine traced, for every token of the prompt and of the answer, streamed and whole', async () => {
    const expected = await traced();
    const answer = await post(server, '/v1/chat/completions', { ...BODY, return_routed_experts: true });
    const { choices, usage } = (await answer.json()) as {
      choices: readonly Choice[];
      usage: { prompt_tokens: number; completion_tokens: number };
    };
    assert.equal(expected.size, usage.prompt_tokens + usage.completion_tokens);
    assert.deepEqual(byPosition(choices[0]?.routed_experts ?? []), expected);
    assert.deepEqual(byPosition(await streamed({ return_routed_experts: true })), expected);
    assert.match([...expected.values()].map((row) => (row as { token: string }).token).join(''), /What is 17 \+ 25\?/);
  });

  it('are left out where nobody asks for them', async () => {
    const answer = await post(server, '/v1/chat/completions', BODY);
    const { choices } = (await answer.json()) as { choices: readonly Choice[] };
    assert.equal(choices[0]?.routed_experts, undefined);
    assert.deepEqual(await streamed({ return_routed_experts: false }), []);
  });

  it('are asked for by true or false', async () => {
    const answer = await post(server, '/v1/chat/completions', { ...BODY, return_routed_experts: 'yes' });
    assert.equal(answer.status, 400);
    assert.equal((await errorOf(answer)).param, 'return_routed_experts');
  });
});
