import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { post, startModelServer, startScriptedServer, untilMetric } from './test-server.ts';

interface Series {
  readonly labels: string;
  readonly value: number;
}

/** Values by name, and types by the name of the family. */
function parse(text: string): { values: Map<string, Series[]>; types: Map<string, string> } {
  const values = new Map<string, Series[]>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== '') types.set(name, type);
    if (line === '' || line.startsWith('#')) continue;
    const [, metric = '', labels = '', value = ''] = /^([a-z0-9_:]+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    assert.notEqual(metric, '', line);
    values.set(metric, [...(values.get(metric) ?? []), { labels, value: Number(value) }]);
  }
  return { values, types };
}

/** As vLLM's V1 engine names them. */
const VLLM = {
  'vllm:num_requests_running': 'gauge',
  'vllm:num_requests_waiting': 'gauge',
  'vllm:kv_cache_usage_perc': 'gauge',
  'vllm:prefix_cache_queries_total': 'counter',
  'vllm:prefix_cache_hits_total': 'counter',
  'vllm:num_preemptions_total': 'counter',
  'vllm:prompt_tokens_total': 'counter',
  'vllm:generation_tokens_total': 'counter',
  'vllm:request_success_total': 'counter',
  'vllm:time_to_first_token_seconds': 'histogram',
  'vllm:inter_token_latency_seconds': 'histogram',
  'vllm:request_time_per_output_token_seconds': 'histogram',
  'vllm:e2e_request_latency_seconds': 'histogram',
  'vllm:request_queue_time_seconds': 'histogram',
  'vllm:request_inference_time_seconds': 'histogram',
  'vllm:request_prefill_time_seconds': 'histogram',
  'vllm:request_decode_time_seconds': 'histogram',
  'vllm:request_prompt_tokens': 'histogram',
  'vllm:request_generation_tokens': 'histogram',
} as const;
const OWN = {
  'switchyard:steps_total': 'counter',
  'switchyard:expert_tokens_total': 'counter',
  'switchyard:expert_imbalance': 'gauge',
  'switchyard:worker_crashes_total': 'counter',
  'switchyard:request_failure_total': 'counter',
  'switchyard:blocked_streams': 'gauge',
  'switchyard:stalled_readers_total': 'counter',
} as const;

describe('/metrics', () => {
  const read = async (server: RunningServer): Promise<ReturnType<typeof parse>> => {
    const response = await fetch(`${server.url}/metrics`);
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    return parse(await response.text());
  };

  it('has the names of vLLM and of the routers, and counts what the answers say', async () => {
    await using server = await startModelServer();
    const usages: {
      prompt_tokens: number;
      completion_tokens: number;
      prompt_tokens_details: { cached_tokens: number };
    }[] = [];
    for (const [content, max_tokens] of [
      ['What is a lighthouse?', 100],
      ['What is 17 + 25?', 100],
      ['What is a ship?', 3],
    ] as const) {
      const response = await post(server, '/v1/chat/completions', {
        messages: [{ role: 'user', content }],
        temperature: 0,
        max_tokens,
      });
      usages.push(((await response.json()) as { usage: (typeof usages)[number] }).usage);
    }
    const sum = (of: (usage: (typeof usages)[number]) => number): number =>
      usages.reduce((all, one) => all + of(one), 0);
    const prompt = sum((usage) => usage.prompt_tokens);
    const generated = sum((usage) => usage.completion_tokens);
    const cached = sum((usage) => usage.prompt_tokens_details.cached_tokens);

    const { values, types } = await read(server);
    for (const [name, type] of Object.entries({ ...VLLM, ...OWN })) assert.equal(types.get(name), type, name);
    for (const series of values.values())
      for (const { labels } of series) assert.match(labels, /model_name="pocket-dictionary"/);
    const value = (name: string, label = ''): number | undefined =>
      values.get(name)?.find(({ labels }) => labels.includes(label))?.value;
    assert.equal(value('vllm:prompt_tokens_total'), prompt);
    assert.equal(value('vllm:generation_tokens_total'), generated);
    assert.equal(value('vllm:prefix_cache_queries_total'), prompt);
    assert.equal(value('vllm:prefix_cache_hits_total'), cached);
    assert.equal(value('vllm:request_success_total', 'finished_reason="stop"'), 2);
    assert.equal(value('vllm:request_success_total', 'finished_reason="length"'), 1);
    assert.equal(value('vllm:num_requests_running'), 0);
    assert.equal(value('vllm:request_generation_tokens_sum'), generated);
    assert.equal(value('vllm:request_prompt_tokens_sum'), prompt);
    // One interval less than tokens, for each request.
    assert.equal(value('vllm:inter_token_latency_seconds_count'), generated - 3);
    for (const [name, type] of Object.entries(VLLM)) {
      if (type !== 'histogram') continue;
      const buckets = values.get(`${name}_bucket`) ?? [];
      buckets.slice(1).forEach((bucket, index) => assert.ok(bucket.value >= (buckets[index]?.value ?? 0), name));
      assert.equal(buckets.at(-1)?.value, value(`${name}_count`), name);
      assert.match(buckets.at(-1)?.labels ?? '', /le="\+Inf"/);
      assert.ok((value(`${name}_sum`) ?? -1) >= 0);
    }

    // Every computed token goes to 4 of 32 experts in each of 6 layers; the last token of an answer is not computed.
    // A GPU has begun the step behind a stop token before anybody has seen it.
    const ahead = process.env['SWITCHYARD_RUNNER'] === 'hip' ? 2 : 0;
    const computed = prompt - cached + generated - 3 + ahead;
    const experts = values.get('switchyard:expert_tokens_total') ?? [];
    assert.equal(experts.length, 6 * 32);
    for (let layer = 0; layer < 6; layer += 1) {
      const tokens = experts.filter(({ labels }) => labels.includes(`layer="${layer}"`)).map((series) => series.value);
      assert.equal(
        tokens.reduce((a, b) => a + b, 0),
        4 * computed,
      );
      const imbalance = (Math.max(...tokens) * 32) / (4 * computed);
      assert.ok(Math.abs((value('switchyard:expert_imbalance', `layer="${layer}"`) ?? 0) - imbalance) < 1e-9);
    }
  });

  it('counts requests that were given up and requests that were refused', async () => {
    await using server = await startScriptedServer({}, { maxSequences: 1, maxQueue: 0 });
    await server.ready;
    const abort = new AbortController();
    const body = { messages: [{ role: 'user', content: 'SLOW IDS 100 REPEAT 100000' }], stream: true };
    const response = await post(server, '/v1/chat/completions', body, { signal: abort.signal });
    assert.equal((await post(server, '/v1/chat/completions', body)).status, 429);
    abort.abort();
    await response.text().catch(() => undefined);
    await untilMetric(server, 'vllm:num_requests_running', 0);
    const { values } = await read(server);
    const [success] = values.get('vllm:request_success_total') ?? [];
    assert.deepEqual([success?.value, success?.labels.includes('finished_reason="abort"')], [1, true]);
    const [failure] = values.get('switchyard:request_failure_total') ?? [];
    assert.deepEqual([failure?.value, failure?.labels.includes('reason="queue_full"')], [1, true]);
  });
});
