/** One run of the page: made-up logits, routed on the GPU, compared with the reference, and timed. */

import { checkRouteArguments, createWebGpuRouter, encodeLogits, MAX_EXPERTS } from '@switchyard/router-kernel/webgpu';
import type { ExchangePath, Logits, LogitsDtype, WebGpuRouter } from '@switchyard/router-kernel/webgpu';
import { compareOutput } from '@switchyard/router-kernel/suite';
import type { Comparison } from '@switchyard/router-kernel/suite';

/** What the visitor chose. */
export interface RunShape {
  readonly experts: number;
  readonly topK: number;
  readonly tokens: number;
  readonly logitsDtype: LogitsDtype;
  readonly path: ExchangePath | 'auto';
}

/** A point of the latency plot. */
export interface Latency {
  readonly tokens: number;
  readonly milliseconds: number;
}

/** What a run found. */
export interface RunOutcome {
  readonly shape: RunShape;
  readonly device: string;
  readonly path: ExchangePath;
  readonly comparison: Comparison;
  /** [E] */
  readonly tokensPerExpert: Int32Array;
  readonly latencies: readonly Latency[];
}

const LATENCY_TOKENS: readonly number[] = [1, 4, 16, 64, 256, 1024, 4096];
const CALLS_PER_POINT = 9;

/** Routes logits of a shape and compares every row. @throws RouterError */
export async function routeAndCheck(shape: RunShape): Promise<RunOutcome> {
  const { experts, topK, tokens, logitsDtype, path } = shape;
  const router = await createWebGpuRouter({ experts, topK, logitsDtype, dispatchPlan: true }, { path });
  try {
    const logits = unevenLogits(shape);
    const output = await router.route(logits);
    const comparison = compareOutput(router.config, logits, checkRouteArguments(router.config, logits), output);
    const offsets = output.dispatchPlan?.expertOffsets ?? new Int32Array(experts + 1);
    const tokensPerExpert = Int32Array.from({ length: experts }, (_, e) => (offsets[e + 1] ?? 0) - (offsets[e] ?? 0));
    const latencies = await measureLatencies(router, shape);
    return {
      shape: { ...shape, tokens },
      device: router.device,
      path: router.path,
      comparison,
      tokensPerExpert,
      latencies,
    };
  } finally {
    await router.dispose();
  }
}

async function measureLatencies(router: WebGpuRouter, shape: RunShape): Promise<Latency[]> {
  const latencies: Latency[] = [];
  for (const tokens of LATENCY_TOKENS) {
    const logits = unevenLogits({ ...shape, tokens });
    await router.route(logits);
    const times: number[] = [];
    for (let call = 0; call < CALLS_PER_POINT; call++) {
      const start = performance.now();
      await router.route(logits);
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    latencies.push({ tokens, milliseconds: times[times.length >> 1] ?? 0 });
  }
  return latencies;
}

/** Logits that favour some experts, as those of a trained model do. The same each time. */
function unevenLogits({ experts, tokens, logitsDtype }: RunShape): Logits {
  let state = 1;
  const random = (): number => {
    // Numerical Recipes' linear congruential generator.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const favour = Float32Array.from({ length: Math.min(experts, MAX_EXPERTS) }, () => 2 * random() ** 3);
  const values = Float32Array.from(
    { length: tokens * experts },
    (_, i) => (favour[i % experts] ?? 0) + 2 * (random() + random() + random() - 1.5),
  );
  return encodeLogits(values, logitsDtype);
}
