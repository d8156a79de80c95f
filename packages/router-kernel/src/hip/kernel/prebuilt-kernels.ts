/** The kernels that are shipped compiled: the router shapes of published models, for six AMD architectures. */

import { prebuiltLookup } from '@switchyard/gpu';
import type { KernelTarget, PrebuiltLookup } from '@switchyard/gpu';
import type { KernelResources } from '@switchyard/gpu/offline';
import { resolveRouterConfig } from '../../resolve-config.ts';
import type { ResolvedRouterConfig, RouterConfig } from '../../contract.ts';
import { kernelSource } from './source.ts';
import { specialize } from './specialization.ts';
import type { KernelSpecialization } from './specialization.ts';

/** The architectures of the bundle, in its order. */
export const PREBUILT_TARGETS: readonly KernelTarget[] = [
  { vendor: 'amd', architecture: 'gfx90a', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx950', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1030', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx1201', waveSize: 32 },
];

/** T that the launch geometry differs for. */
const TOKENS = [1, 4096, 16384];

/** A published model's router. */
export interface PublishedShape {
  readonly models: string;
  readonly config: RouterConfig;
}

/** The shapes of the bundle. A bias stands for any bias: its values are an argument. */
export const PUBLISHED_SHAPES: readonly PublishedShape[] = [
  { models: 'gpt-oss-20b', config: { experts: 32, topK: 4, logitsDtype: 'bf16' } },
  { models: 'gpt-oss-120b', config: { experts: 128, topK: 4, logitsDtype: 'bf16' } },
  { models: 'gpt-oss-120b, f32 gate', config: { experts: 128, topK: 4, logitsDtype: 'f32' } },
  { models: 'Mixtral-8x7B, 8x22B', config: { experts: 8, topK: 2, logitsDtype: 'bf16' } },
  { models: 'Qwen3-30B-A3B, 235B-A22B', config: { experts: 128, topK: 8, logitsDtype: 'bf16' } },
  { models: 'OLMoE-1B-7B', config: { experts: 64, topK: 8, logitsDtype: 'bf16', renormalize: false } },
  { models: 'OLMoE shape, renormalised', config: { experts: 64, topK: 8, logitsDtype: 'bf16' } },
  { models: 'Qwen3-Next-80B-A3B', config: { experts: 512, topK: 10, logitsDtype: 'bf16' } },
  {
    models: 'DeepSeek-V3, R1',
    config: {
      experts: 256,
      topK: 8,
      logitsDtype: 'f32',
      scoring: 'sigmoid',
      correctionBias: new Float32Array(256),
      groups: 8,
      topKGroups: 4,
    },
  },
  {
    models: 'DeepSeek-V3, R1, bf16 gate',
    config: {
      experts: 256,
      topK: 8,
      logitsDtype: 'bf16',
      scoring: 'sigmoid',
      correctionBias: new Float32Array(256),
      groups: 8,
      topKGroups: 4,
    },
  },
  {
    models: 'Kimi-K2',
    config: { experts: 384, topK: 8, logitsDtype: 'bf16', scoring: 'sigmoid', correctionBias: new Float32Array(384) },
  },
];

/** One kernel of the bundle. */
export interface PrebuiltKernel {
  readonly models: string;
  readonly config: ResolvedRouterConfig;
  readonly specialization: KernelSpecialization;
}

/** The kernels of the bundle for one target, each symbol once. */
export function prebuiltKernels(target: KernelTarget): PrebuiltKernel[] {
  const bySymbol = new Map<string, PrebuiltKernel>();
  for (const { models, config: partial } of PUBLISHED_SHAPES) {
    const config = resolveRouterConfig(partial);
    for (const tokens of TOKENS) {
      const specialization = specialize(config, target, { tokens });
      if (!bySymbol.has(specialization.symbol)) {
        bySymbol.set(specialization.symbol, { models, config, specialization });
      }
    }
  }
  return [...bySymbol.values()];
}

/** One translation unit with all of these kernels. */
export function sourceOfAll(kernels: readonly PrebuiltKernel[]): string {
  return sourceOfForms(kernels.map(({ specialization }) => specialization));
}

/** One translation unit with all of these forms: the source once for each, in a namespace of its own. */
export function sourceOfForms(forms: readonly KernelSpecialization[]): string {
  const source = kernelSource('topk_gating_softmax');
  return forms
    .map(({ defines }, index) => {
      const macros = Object.entries({ ...defines, ROUTER_NAMESPACE: `router_${index}` });
      return [
        ...macros.map(([name, value]) => `#define ${name} ${value}`),
        source,
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
  readonly arguments: readonly { readonly name: string; readonly type: string; readonly offset: number }[];
  readonly architectures: readonly {
    readonly architecture: string;
    readonly waveSize: 32 | 64;
    readonly bytes: number;
    readonly kernels: readonly (KernelResources & {
      readonly models: string;
      readonly lanesPerToken: number;
      readonly tokensPerBlock: number;
      readonly threadsPerBlock: number;
      readonly loadBytes: number;
    })[];
  }[];
}

export const PREBUILT_FOLDER = new URL('../../../kernels/prebuilt/', import.meta.url);
export const PREBUILT_BUNDLE = 'topk_gating_softmax.hipfb';

/** The shipped code object that holds a routing kernel for an architecture; null where none does. */
export const findPrebuiltObject: PrebuiltLookup = prebuiltLookup(PREBUILT_FOLDER);
