/**
 * Prometheus metrics, with vLLM's names where vLLM has them, and the routers' own.
 */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { AbortedError, QueueFullError } from '../errors.ts';
import type { DoneEvent } from '../events.ts';
import type { SchedulerStats } from '../scheduler/job.ts';
import type { ExpertLoad } from '../runners/runner.ts';
import type { WorkerReport } from '../worker/protocol.ts';
import { histogramText } from './histogram-text.ts';

const SECONDS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160];
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
const MS_PER_SECOND = 1000;

/** vLLM knows no other ends: there, an answer that calls tools has stopped. */
const finishReason = (reason: DoneEvent['finishReason']): string => (reason === 'length' ? 'length' : 'stop');

/** A metric that the worker counts itself: set from its report. */
interface ReportedMetric {
  readonly metric: Gauge | Counter;
  readonly read: (stats: SchedulerStats) => number;
}

/** The counters and histograms of one server, in a registry of its own. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly #modelName: string;
  readonly #report: () => Promise<WorkerReport | null>;
  readonly #reported: readonly ReportedMetric[];
  readonly #success: Counter<'finished_reason'>;
  readonly #failures: Counter<'reason'>;
  readonly #timeToFirstToken: Histogram;
  readonly #timePerOutputToken: Histogram;
  readonly #latency: Histogram;
  readonly #queueTime: Histogram;
  readonly #inferenceTime: Histogram;
  readonly #prefillTime: Histogram;
  readonly #decodeTime: Histogram;
  readonly #requestPromptTokens: Histogram;
  readonly #requestGenerationTokens: Histogram;
  readonly #expertTokens: Counter<'layer' | 'expert'>;
  readonly #imbalance: Gauge<'layer'>;
  readonly #crashes: Counter;
  readonly #blockedStreams: Gauge;
  readonly #stalledReaders: Counter;
  readonly #residentMemory: Gauge;

  /** @param report The worker's counters now, or null while no model is loaded; asked for once a scrape. */
  constructor(modelName: string, report: () => Promise<WorkerReport | null>) {
    const registers = [this.registry];
    this.#modelName = modelName;
    this.#report = report;
    this.registry.setDefaultLabels({ model_name: modelName });
    const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
    const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
    const histogram = (name: string, help: string, buckets: number[]): Histogram =>
      new Histogram({ name: `vllm:${name}`, help, buckets, registers });
    this.#reported = [
      {
        metric: gauge('vllm:num_requests_running', 'Requests in the running batch'),
        read: ({ running }) => running,
      },
      { metric: gauge('vllm:num_requests_waiting', 'Requests in the queue'), read: ({ waiting }) => waiting },
      {
        metric: gauge('vllm:kv_cache_usage_perc', 'Share of the KV memory handed out, 0 to 1'),
        read: ({ kvCacheUsage }) => kvCacheUsage,
      },
      {
        metric: counter('vllm:prompt_tokens_total', 'Prompt tokens read, cached ones included'),
        read: ({ promptTokens, prefixCacheHits }) => promptTokens + prefixCacheHits,
      },
      {
        metric: counter('vllm:generation_tokens_total', 'Tokens generated'),
        read: ({ generatedTokens }) => generatedTokens,
      },
      {
        metric: counter('vllm:prefix_cache_queries_total', 'Prompt tokens looked up in the prefix cache'),
        read: ({ prefixCacheQueries }) => prefixCacheQueries,
      },
      {
        metric: counter('vllm:prefix_cache_hits_total', 'Prompt tokens found in the prefix cache'),
        read: ({ prefixCacheHits }) => prefixCacheHits,
      },
      {
        metric: counter('vllm:num_preemptions_total', 'Requests that had to start over for lack of KV memory'),
        read: ({ preemptions }) => preemptions,
      },
      {
        metric: counter('switchyard:steps_total', 'Forward steps of the model'),
        read: ({ steps }) => steps,
      },
    ];
    this.#success = new Counter({
      name: 'vllm:request_success_total',
      help: 'Requests that came to an end, aborted ones included',
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
    this.#timePerOutputToken = histogram(
      'request_time_per_output_token_seconds',
      'Mean time between the tokens of a request',
      SECONDS,
    );
    this.#latency = histogram('e2e_request_latency_seconds', 'Arrival to last token', SECONDS);
    this.#queueTime = histogram('request_queue_time_seconds', 'Arrival to first step', SECONDS);
    this.#inferenceTime = histogram('request_inference_time_seconds', 'First step to last token', SECONDS);
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
    this.#crashes = counter('switchyard:worker_crashes_total', 'Model workers that crashed');
    this.#blockedStreams = gauge('switchyard:blocked_streams', 'Streams whose client has to read before it gets more');
    this.#stalledReaders = counter('switchyard:stalled_readers_total', 'Clients cut off because they read nothing');
    this.#residentMemory = gauge('process_resident_memory_bytes', 'Memory of the process, the worker included');
  }

  finished(done: DoneEvent): void {
    const { usage, timings } = done;
    this.#success.inc({ finished_reason: finishReason(done.finishReason) });
    this.#timeToFirstToken.observe(timings.timeToFirstToken / MS_PER_SECOND);
    if (usage.completionTokens > 1) {
      this.#timePerOutputToken.observe(timings.decode / (usage.completionTokens - 1) / MS_PER_SECOND);
    }
    this.#latency.observe(timings.total / MS_PER_SECOND);
    this.#queueTime.observe(timings.queue / MS_PER_SECOND);
    this.#inferenceTime.observe((timings.prefill + timings.decode) / MS_PER_SECOND);
    this.#prefillTime.observe(timings.prefill / MS_PER_SECOND);
    this.#decodeTime.observe(timings.decode / MS_PER_SECOND);
    this.#requestPromptTokens.observe(usage.promptTokens);
    this.#requestGenerationTokens.observe(usage.completionTokens);
  }

  failed(error: unknown): void {
    if (error instanceof AbortedError) this.#success.inc({ finished_reason: 'abort' });
    else this.#failures.inc({ reason: error instanceof QueueFullError ? 'queue_full' : 'error' });
  }

  crashed(): void {
    this.#crashes.inc();
  }

  /** `change` is 1 where a stream's client has to read before it gets more, -1 where it has. */
  blockedStreams(change: 1 | -1): void {
    this.#blockedStreams.inc(change);
  }

  stalledReader(): void {
    this.#stalledReaders.inc();
  }

  /** The text that Prometheus reads. */
  async text(): Promise<string> {
    const report = await this.#report();
    for (const { metric, read } of this.#reported) {
      metric.reset();
      if (report !== null) metric.inc(read(report.stats));
    }
    this.#residentMemory.set(process.memoryUsage.rss());
    this.#expertTokens.reset();
    this.#imbalance.reset();
    if (report !== null) this.#tellExpertLoad(report.expertLoad);
    const text = await this.registry.metrics();
    return report === null ? text : `${text}\n${this.#intervalText(report.stats)}`;
  }

  #intervalText({ tokenIntervals }: SchedulerStats): string {
    const help = 'Time from a token of an answer to the next';
    return histogramText('vllm:inter_token_latency_seconds', help, this.#modelName, tokenIntervals);
  }

  #tellExpertLoad({ layers, experts, counts }: ExpertLoad): void {
    for (let layer = 0; layer < layers; layer += 1) {
      let busiest = 0;
      let total = 0;
      for (let expert = 0; expert < experts; expert += 1) {
        const tokens = counts[layer * experts + expert] ?? 0;
        this.#expertTokens.inc({ layer, expert }, tokens);
        busiest = Math.max(busiest, tokens);
        total += tokens;
      }
      this.#imbalance.set({ layer }, total === 0 ? 0 : (busiest * experts) / total);
    }
  }
}
