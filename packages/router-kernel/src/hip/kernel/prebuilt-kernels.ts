/** What is shipped compiled: routers of published models, and where their archives of code objects lie. */

import { prebuiltLookup } from '@switchyard/gpu';
import type { KernelTarget } from '@switchyard/gpu';
import { resolveRouterConfig } from '../../resolve-config.ts';
import type { LogitsDtype, ResolvedRouterConfig, RouterConfig } from '../../contract.ts';
import type { GateShape } from '../../gate/gate-contract.ts';
import { preparedForms } from './forms.ts';
import type { KernelForm } from './forms.ts';
import { kernelSource } from './source.ts';

/**
 * What the routers without tiles and gates have objects for. A generic processor stands for the GPUs of its family that are
 * not named themselves; those that are, ROCm before 6.4 can load too.
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

/** What tiles and gates have objects for: the same GPUs, by as few objects as there can be. */
export const PREBUILT_FAMILIES: readonly KernelTarget[] = [
  { vendor: 'amd', architecture: 'gfx906', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx908', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx90a', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx9-4-generic', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx10-3-generic', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx11-generic', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx12-generic', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx1250', waveSize: 32 },
];

/** A published model's router, whatever the dtype of its logits. */
export interface PublishedShape {
  readonly models: string;
  readonly config: Omit<RouterConfig, 'logitsDtype'>;
  /** H of its models. */
  readonly hiddenSizes: readonly number[];
}

/** The shapes that are shipped. A bias stands for any bias: its values are an argument. */
export const PUBLISHED_SHAPES: readonly PublishedShape[] = [
  { models: 'gpt-oss-20b', config: { experts: 32, topK: 4 }, hiddenSizes: [2880] },
  { models: 'gpt-oss-120b', config: { experts: 128, topK: 4 }, hiddenSizes: [2880] },
  { models: 'Mixtral-8x7B, 8x22B', config: { experts: 8, topK: 2 }, hiddenSizes: [4096, 6144] },
  { models: 'Qwen3-30B-A3B, 235B-A22B', config: { experts: 128, topK: 8 }, hiddenSizes: [2048, 4096] },
  { models: 'OLMoE-1B-7B', config: { experts: 64, topK: 8, renormalize: false }, hiddenSizes: [2048] },
  { models: 'OLMoE shape, renormalised', config: { experts: 64, topK: 8 }, hiddenSizes: [2048] },
  { models: 'Qwen3-Next-80B-A3B', config: { experts: 512, topK: 10 }, hiddenSizes: [2048] },
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
    hiddenSizes: [7168],
  },
  {
    models: 'Kimi-K2',
    config: { experts: 384, topK: 8, scoring: 'sigmoid', correctionBias: new Float32Array(384) },
    hiddenSizes: [7168],
  },
];

const DTYPES: readonly LogitsDtype[] = ['bf16', 'f16', 'f32'];

/** What may be asked for beside ids and weights, and changes which kernels are loaded. One height of tiles stands for all. */
type PlanOptions = Pick<RouterConfig, 'dispatchPlan' | 'expertTiles'>;
const PLANS: readonly PlanOptions[] = [{ dispatchPlan: true }, {}];
const TILES: PlanOptions = { dispatchPlan: true, expertTiles: 32 };

/** A configuration of published models. */
export interface PublishedConfig {
  readonly models: string;
  readonly config: ResolvedRouterConfig;
}

/** Every configuration without tiles: each published shape in each dtype, with and without a dispatch plan. */
export function publishedConfigs(plans: readonly PlanOptions[] = PLANS): readonly PublishedConfig[] {
  return PUBLISHED_SHAPES.flatMap(({ models, config }) =>
    DTYPES.flatMap((logitsDtype) =>
      plans.map((plan) => ({ models, config: resolveRouterConfig({ ...config, logitsDtype, ...plan }) })),
    ),
  );
}

/** The same with tiles, of whatever height. */
export function publishedTileConfigs(): readonly PublishedConfig[] {
  return publishedConfigs([TILES]);
}

/** The gated routers of published models, of bf16 hidden states: those without a plan, with one, and with tiles. */
export function publishedGates(): readonly GateShape[] {
  return PUBLISHED_SHAPES.flatMap(({ config, hiddenSizes }) =>
    hiddenSizes.flatMap((hiddenSize) =>
      [...PLANS, TILES].map((plan) => {
        const router = resolveRouterConfig({ ...config, logitsDtype: 'f32', ...plan });
        return { hiddenSize, hiddenDtype: 'bf16', hasGateBias: true, router } as const;
      }),
    ),
  );
}

/** The kernels that routers of some configurations load ahead of time on a target, each symbol once. */
export function formsOfConfigs(configs: readonly PublishedConfig[], target: KernelTarget): readonly KernelForm[] {
  const forms = configs.flatMap(({ config }) => preparedForms(config, target));
  return [...new Map(forms.map((form) => [form.symbol, form])).values()];
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

/** Archives of code objects, a file an architecture, and what they were built from (`npm run kernels`). */
export const PREBUILT_FOLDER = new URL('../../../kernels/prebuilt/', import.meta.url);

/**
 * The shipped code object that holds a kernel for an architecture; null where none does. A symbol names all that the code
 * depends on but the text, to which a test holds the archives.
 */
export const findPrebuiltObject: (architecture: string, symbol: string) => Uint8Array | null =
  prebuiltLookup(PREBUILT_FOLDER);
