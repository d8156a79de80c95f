/**
 * The kernels that are shipped compiled: whatever routers of published models load, in every dtype of logits, with padding
 * and with a dispatch plan.
 */

import { prebuiltLookup } from '@switchyard/gpu';
import type { KernelTarget, PrebuiltLookup } from '@switchyard/gpu';
import type { KernelResources } from '@switchyard/gpu/offline';
import { resolveRouterConfig } from '../../resolve-config.ts';
import type { LogitsDtype, ResolvedRouterConfig, RouterConfig } from '../../contract.ts';
import { preparedForms } from './forms.ts';
import type { FormGeometry, KernelForm } from './forms.ts';
import { kernelSource } from './source.ts';
import type { KernelSourceName } from './source.ts';

/**
 * What the bundle has objects for, in its order. A generic processor stands for the GPUs of its family that are not named
 * themselves; those that are, ROCm before 6.4 can load too.
 */
export const PREBUILT_TARGETS: readonly KernelTarget[] = [
  { vendor: 'amd', architecture: 'gfx906', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx908', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx90a', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx950', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1030', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx10-3-generic', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx11-generic', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx1201', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx12-generic', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx1250', waveSize: 32 },
];

/** A published model's router, whatever the dtype of its logits. */
export interface PublishedShape {
  readonly models: string;
  readonly config: Omit<RouterConfig, 'logitsDtype'>;
}

/** The shapes of the bundle. A bias stands for any bias: its values are an argument. */
export const PUBLISHED_SHAPES: readonly PublishedShape[] = [
  { models: 'gpt-oss-20b', config: { experts: 32, topK: 4 } },
  { models: 'gpt-oss-120b', config: { experts: 128, topK: 4 } },
  { models: 'Mixtral-8x7B, 8x22B', config: { experts: 8, topK: 2 } },
  { models: 'Qwen3-30B-A3B, 235B-A22B', config: { experts: 128, topK: 8 } },
  { models: 'OLMoE-1B-7B', config: { experts: 64, topK: 8, renormalize: false } },
  { models: 'OLMoE shape, renormalised', config: { experts: 64, topK: 8 } },
  { models: 'Qwen3-Next-80B-A3B', config: { experts: 512, topK: 10 } },
  {
    models: 'DeepSeek-V3, R1',
    config: {
      experts: 256,
      topK: 8,
      scoring: 'sigmoid',
      correctionBias: new Float32Array(256),
      groups: 8,
      topKGroups: 4,
    },
  },
  {
    models: 'Kimi-K2',
    config: { experts: 384, topK: 8, scoring: 'sigmoid', correctionBias: new Float32Array(384) },
  },
];

const DTYPES: readonly LogitsDtype[] = ['bf16', 'f16', 'f32'];

/** What may be asked for beside ids and weights, and changes which kernels are loaded. */
const OPTIONS: readonly Pick<RouterConfig, 'dispatchPlan'>[] = [{ dispatchPlan: true }, {}];

/** Every configuration of the bundle: each published shape in each dtype, with and without a dispatch plan. */
export function publishedConfigs(): readonly { readonly models: string; readonly config: ResolvedRouterConfig }[] {
  return PUBLISHED_SHAPES.flatMap(({ models, config }) =>
    DTYPES.flatMap((logitsDtype) =>
      OPTIONS.map((options) => ({ models, config: resolveRouterConfig({ ...config, logitsDtype, ...options }) })),
    ),
  );
}

/** One kernel of the bundle. */
export interface PrebuiltKernel {
  /** The first models that launch it. */
  readonly models: string;
  readonly form: KernelForm;
}

/** The kernels of the bundle for one target, each symbol once. */
export function prebuiltKernels(target: KernelTarget): readonly PrebuiltKernel[] {
  const bySymbol = new Map<string, PrebuiltKernel>();
  for (const { models, config } of publishedConfigs()) {
    for (const form of preparedForms(config, target)) {
      if (!bySymbol.has(form.symbol)) bySymbol.set(form.symbol, { models, form });
    }
  }
  return [...bySymbol.values()];
}

/** One translation unit with all of these forms: each source with its macros once, in a namespace of its own. */
export function sourceOfForms(forms: readonly Pick<KernelForm, 'source' | 'defines'>[]): string {
  const units = new Map(
    forms.map(({ source, defines }) => [`${source} ${JSON.stringify(defines)}`, { source, defines }]),
  );
  return [...units.values()]
    .map(({ source, defines }, index) => {
      const macros = Object.entries({ ...defines, ROUTER_NAMESPACE: `router_${index}` });
      return [
        ...macros.map(([name, value]) => `#define ${name} ${value}`),
        kernelSource(source),
        ...macros.map(([name]) => `#undef ${name}`),
        '',
      ].join('\n');
    })
    .join('\n');
}

/** What kernels/prebuilt/manifest.json says of the bundle. */
export interface PrebuiltManifest {
  /** The compiler's version line. */
  readonly compiler: string;
  readonly bundle: { readonly file: string; readonly bytes: number; readonly sha256: string };
  /** The arguments of the routing kernels. */
  readonly arguments: readonly { readonly name: string; readonly type: string; readonly offset: number }[];
  readonly architectures: readonly {
    /** Of a GPU, or one of LLVM's generic processors. */
    readonly architecture: string;
    readonly waveSize: 32 | 64;
    readonly bytes: number;
    /** SHA-256 of the source that the object was compiled from. */
    readonly source: string;
    readonly kernels: readonly (KernelResources &
      FormGeometry & {
        readonly models: string;
        readonly unit: KernelSourceName;
        /** Instructions, up to the one that ends it. */
        readonly instructions: number;
      })[];
  }[];
}

export const PREBUILT_FOLDER = new URL('../../../kernels/prebuilt/', import.meta.url);
export const PREBUILT_BUNDLE = 'topk_gating_softmax.hipfb';

/** The shipped code object that holds a kernel for an architecture; null where none does. */
export const findPrebuiltObject: PrebuiltLookup = prebuiltLookup(PREBUILT_FOLDER);
