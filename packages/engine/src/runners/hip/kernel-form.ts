/**
 * What a kernel of the runner is: its text, its macros, its arguments and its grid, each written as data.
 */

import { joinParts, sharedPart } from '@switchyard/gpu';
import type { KernelArgument, KernelTarget, KernelUnit, SharedPart } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { type KvType, kvLayers } from '../kv-bytes.ts';
import { STEP_PLACES } from './step-block.ts';

/** Whom kernels are made for. */
export interface KernelContext {
  readonly config: GptOssConfig;
  readonly target: KernelTarget;
  readonly kv: KvType;
}

/** A kernel ready to be compiled. */
export interface KernelForm<List extends readonly KernelArgument[]> {
  readonly unit: KernelUnit;
  /** The kernel's name in the unit. */
  readonly symbol: string;
  readonly arguments: List;
  readonly threadsPerBlock: number;
  /** Bytes of shared memory that a block gets beside what the kernel declares. Defaults to 0. */
  readonly sharedBytes?: number;
}

/** Lanes that share a row's sums, on every GPU (kernels/hip/parts/teams.hip). */
export const TEAM = 32;

/** The parts that every kernel stands on, in order. */
const COMMON = [
  ...(['platform', 'wave', 'lane_exchange', 'streamed_loads', 'written_halves'] as const).map(sharedPart),
  ...['parts/teams', 'parts/values', 'parts/step'].map(ownPart),
];

/** The first part of kernels that read or write the KV cache. */
const KV_PLACES = 'kv_places';

/** All of their parts, in order. */
export function kvParts({ kv }: KernelContext): readonly string[] {
  return [KV_PLACES, kv === 'f32' ? 'kv_f32' : 'kv_int16', 'kv_blocks'];
}

/** A file under this package's kernels/hip. */
function ownPart(name: string): URL {
  return new URL(`../../../kernels/hip/${name}.hip`, import.meta.url);
}

/** The whole text of a kernel: the common parts, its own, and the file of its name. */
export function kernelText(
  name: string,
  parts: readonly string[] = [],
  sharedParts: readonly SharedPart[] = [],
): string {
  const own = parts.map((part) => ownPart(`parts/${part}`));
  return joinParts([...COMMON, ...sharedParts.map(sharedPart), ...own, ownPart(name)]);
}

/** What a kernel is made of beside its model. */
export interface FormDescription<List extends readonly KernelArgument[]> {
  /** The kernel's file. */
  readonly name: string;
  /** Of this package. */
  readonly parts?: readonly string[];
  /** Of packages/gpu, beside those that every kernel stands on. */
  readonly sharedParts?: readonly SharedPart[];
  readonly symbol: string;
  readonly arguments: List;
  readonly threadsPerBlock: number;
  /** See KernelForm. */
  readonly sharedBytes?: number;
  /** Macros beside those of the model. */
  readonly defines?: Readonly<Record<string, string | number>>;
}

/** Makes a form for a model. */
export function kernelForm<const List extends readonly KernelArgument[]>(
  context: KernelContext,
  {
    name,
    parts,
    sharedParts,
    symbol,
    arguments: list,
    threadsPerBlock,
    sharedBytes = 0,
    defines = {},
  }: FormDescription<List>,
): KernelForm<List> {
  const ofKv = parts?.includes(KV_PLACES) === true ? { KV_HAS_SCALES: context.kv === 'int16' ? 1 : 0 } : {};
  const ofShared = sharedBytes === 0 ? {} : { KERNEL_SHARED_BYTES: sharedBytes };
  const unit: KernelUnit = {
    name,
    source: () => kernelText(name, parts, sharedParts),
    defines: { ...modelDefines(context), KERNEL_THREADS: threadsPerBlock, ...ofKv, ...ofShared, ...defines },
  };
  return { unit, symbol, arguments: list, threadsPerBlock, sharedBytes };
}

function modelDefines({ config, target }: KernelContext): Readonly<Record<string, string | number>> {
  return {
    ROUTER_NAMESPACE: 'engine',
    ROUTER_WAVE_SIZE: target.waveSize,
    ...STEP_PLACES,
    MODEL_VOCABULARY: config.vocabularySize,
    MODEL_HIDDEN: config.hiddenSize,
    MODEL_INTERMEDIATE: config.intermediateSize,
    MODEL_EXPERTS: config.experts,
    MODEL_TOP_K: config.expertsPerToken,
    MODEL_HEADS: config.attentionHeads,
    MODEL_KV_HEADS: config.keyValueHeads,
    MODEL_HEAD_DIM: config.headDim,
    MODEL_WINDOW: config.slidingWindow,
    MODEL_NORM_EPSILON: floatLiteral(config.rmsNormEpsilon),
    MODEL_SWIGLU_LIMIT: floatLiteral(config.swigluLimit),
    KV_LAYERS: kvLayers(config),
  };
}

function floatLiteral(value: number): string {
  return `${value.toExponential()}f`;
}

/** An argument of 8 bytes. */
export const pointer = <const Name extends string>(name: Name, doc: string) =>
  ({ name, type: 'pointer', doc }) as const;

/** An argument of 4 bytes. */
export const u32 = <const Name extends string>(name: Name, doc: string) => ({ name, type: 'u32', doc }) as const;

/** The argument that most kernels take first. */
export const STEP = pointer('step', 'the step block');
