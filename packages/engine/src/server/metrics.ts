/**
 * Prometheus metrics, with vLLM's names where vLLM has them, and the routers' own.
 *
 * @module
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { AbortedError, QueueFullError } from '../errors.ts';
import type { DoneEvent } from '../events.ts';
import type { LayerRouting } from '../runner.ts';

/** What the scheduler counts; read when metrics are asked for. */
export interface SchedulerGauges {
  readonly running: number;
  readonly waiting: number;
  /** 0 to 1. */
  readonly kvCacheUsage: number;
  readonly prefixCacheQueries: number;
  readonly prefixCacheHits: number;
}

const SECONDS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160];
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
const MS_PER_SECOND = 1000;

const finishReason = (reason: DoneEvent['finishReason']): string => (reason === 'tool-calls' ? 'tool_calls' : reason);

/** The counters and histograms of one server, in a registry of its own. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly #promptTokens: Counter;
  readonly #generationTokens: Counter;
  readonly #success: Counter<'finished_reason'>;
  readonly #failures: Counter<'reason'>;
  readonly #timeToFirstToken: Histogram;
  readonly #interTokenLatency: Histogram;
  readonly #latency: Histogram;
  readonly #queueTime: Histogram;
  readonly #prefillTime: Histogram;
  readonly #decodeTime: Histogram;
  readonly #requestPromptTokens: Histogram;
  readonly #requestGenerationTokens: Histogram;
  readonly #expertTokens: Counter<'layer' | 'expert'>;
  readonly #imbalance: Gauge<'layer'>;
  readonly #expertLoad = new Map<number, Float64Array>();
  readonly #crashes: Counter;

  /** @param gauges The scheduler's state now, or null while no model is loaded. */
  constructor(modelName: string, gauges: () => Promise<SchedulerGauges | null>) {
    const registers = [this.registry];
    this.registry.setDefaultLabels({ model_name: modelName });
    const counter = (name: string, help: string): Counter => new Counter({ name: `vllm:${name}`, help, registers });
    const histogram = (name: string, help: string, buckets: number[]): Histogram =>
      new Histogram({ name: `vllm:${name}`, help, buckets, registers });
    const gauge = (name: string, help: string, read: (now: SchedulerGauges) => number): void => {
      new Gauge({
        name: `vllm:${name}`,
        help,
        registers,
        async collect() {
          const now = await gauges();
          if (now === null) this.reset();
          else this.set(read(now));
        },
      });
    };
    gauge('num_requests_running', 'Requests in the running batch', (now) => now.running);
    gauge('num_requests_waiting', 'Requests in the queue', (now) => now.waiting);
    gauge('kv_cache_usage_perc', 'Share of the KV blocks in use, 0 to 1', (now) => now.kvCacheUsage);
    gauge('prefix_cache_queries', 'Prompt tokens looked up in the prefix cache', (now) => now.prefixCacheQueries);
    gauge('prefix_cache_hits', 'Prompt tokens found in the prefix cache', (now) => now.prefixCacheHits);
    this.#promptTokens = counter('prompt_tokens_total', 'Prompt tokens of finished requests');
    this.#generationTokens = counter('generation_tokens_total', 'Generated tokens of finished requests');
    this.#success = new Counter({
      name: 'vllm:request_success_total',
      help: 'Finished requests',
      labelNames: ['finished_reason'],
      registers,
    });
    this.#failures = new Counter({
      name: 'switchyard:request_failure_total',
      help: 'Requests that ended in an error',
      labelNames: ['reason'],
      registers,
    });
    this.#timeToFirstToken = histogram('time_to_first_token_seconds', 'Arrival to first token', SECONDS);
    this.#interTokenLatency = histogram(
      'inter_token_latency_seconds',
      'Mean time between tokens of a request',
      SECONDS,
    );
    this.#latency = histogram('e2e_request_latency_seconds', 'Arrival to last token', SECONDS);
    this.#queueTime = histogram('request_queue_time_seconds', 'Arrival to first step', SECONDS);
    this.#prefillTime = histogram('request_prefill_time_seconds', 'First step to first token', SECONDS);
    this.#decodeTime = histogram('request_decode_time_seconds', 'First token to last', SECONDS);
    this.#requestPromptTokens = histogram('request_prompt_tokens', 'Prompt tokens of a request', TOKENS);
    this.#requestGenerationTokens = histogram('request_generation_tokens', 'Generated tokens of a request', TOKENS);
    this.#expertTokens = new Counter({
      name: 'switchyard:expert_tokens_total',
      help: 'Tokens sent to an expert',
      labelNames: ['layer', 'expert'],
      registers,
    });
    this.#imbalance = new Gauge({
      name: 'switchyard:expert_imbalance',
      help: "A layer's busiest expert over its mean expert, in tokens",
      labelNames: ['layer'],
      registers,
    });
    this.#crashes = new Counter({
      name: 'switchyard:worker_crashes_total',
      help: 'Model workers that crashed',
      registers,
    });
  }

  finished(done: DoneEvent): void {
    const { usage, timings } = done;
    this.#promptTokens.inc(usage.promptTokens);
    this.#generationTokens.inc(usage.completionTokens);
    this.#success.inc({ finished_reason: finishReason(done.finishReason) });
    this.#timeToFirstToken.observe(timings.timeToFirstToken / MS_PER_SECOND);
    if (usage.completionTokens > 1) {
      this.#interTokenLatency.observe(timings.decode / (usage.completionTokens - 1) / MS_PER_SECOND);
    }
    this.#latency.observe(timings.total / MS_PER_SECOND);
    this.#queueTime.observe(timings.queue / MS_PER_SECOND);
    this.#prefillTime.observe(timings.prefill / MS_PER_SECOND);
    this.#decodeTime.observe(timings.decode / MS_PER_SECOND);
    this.#requestPromptTokens.observe(usage.promptTokens);
    this.#requestGenerationTokens.observe(usage.completionTokens);
  }

  failed(error: unknown): void {
    const reason = error instanceof AbortedError ? 'abort' : error instanceof QueueFullError ? 'queue_full' : 'error';
    this.#failures.inc({ reason });
  }

  crashed(): void {
    this.#crashes.inc();
  }

  /** Counts what one layer's router chose in one step. */
  routed({ layer, ids }: LayerRouting, experts: number): void {
    const load = this.#expertLoad.get(layer) ?? new Float64Array(experts);
    this.#expertLoad.set(layer, load);
    for (const expert of ids) if (expert >= 0 && expert < experts) load[expert] = (load[expert] ?? 0) + 1;
  }

  /** The text that Prometheus reads. */
  async text(): Promise<string> {
    // Labels are costly to look up for each token: the counts are kept in arrays and told here.
    this.#expertTokens.reset();
    for (const [layer, load] of this.#expertLoad) {
      let busiest = 0;
      let total = 0;
      for (const [expert, tokens] of load.entries()) {
        this.#expertTokens.inc({ layer, expert }, tokens);
        busiest = Math.max(busiest, tokens);
        total += tokens;
      }
      this.#imbalance.set({ layer }, total === 0 ? 0 : (busiest * load.length) / total);
    }
    return await this.registry.metrics();
  }

  /** Tokens sent to each expert so far, by layer. */
  get expertLoad(): ReadonlyMap<number, Float64Array> {
    return this.#expertLoad;
  }
}
