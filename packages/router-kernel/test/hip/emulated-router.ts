/** A router that runs the AMD kernels on the CPU, see KernelEmulator. */

import { isTailPoisoned, KernelEmulator, poison } from '@switchyard/gpu/testing';
import type { KernelTarget, KernelUnit } from '@switchyard/gpu';
import type { EmulatedKernel, EmulatedValue } from '@switchyard/gpu/testing';
import { checkRouteArguments, resolveRouterConfig } from '../../src/resolve-config.ts';
import {
  expertTileCapacity,
  expertTilesLength,
  tileShapeOf,
  tileShiftOf,
  viewExpertTiles,
} from '../../src/expert-tiles.ts';
import type {
  DispatchPlan,
  ExpertIds,
  ResolvedRouterConfig,
  Router,
  RouterConfig,
  RouterOutput,
} from '../../src/contract.ts';
import { DisposedError } from '../../src/errors.ts';
import {
  DISPATCH_PLAN_KERNEL_ARGUMENTS,
  PLAN_ROUTER_KERNEL_ARGUMENTS,
  ROUTER_KERNEL_ARGUMENTS,
  TILES_DISPATCH_PLAN_KERNEL_ARGUMENTS,
  TILES_ROUTER_KERNEL_ARGUMENTS,
} from '../../src/hip/kernel/argument-lists.ts';
import {
  ARRIVALS_BYTES,
  placementLaunch,
  placePlan,
  planWorkspaceBytes,
} from '../../src/hip/kernel/dispatch-plan-launches.ts';
import { kernelUnit } from '../../src/hip/kernel/source.ts';
import { gridSize, specialize } from '../../src/hip/kernel/specialization.ts';
import type { KernelSpecialization } from '../../src/hip/kernel/specialization.ts';

/** What kernels are emulated as: a GPU with each width of waves. */
export const EMULATED_TARGETS: readonly KernelTarget[] = [
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
];

/** Elements after each output that must come out as they went in. */
const GUARD = 16;

/** What the reductions over a wave that NVIDIA's hardware has give, of AMD's lane exchanges. */
const WAVE_REDUCTIONS = `
constexpr bool kHasWaveReduction = true;
ROUTER_INLINE i32 wave_min(i32 value) {
  value = smaller(value, from_other_half<1>(value));
  value = smaller(value, from_other_half<2>(value));
  value = smaller(value, from_other_half<4>(value));
  value = smaller(value, from_other_half<8>(value));
  return smaller(value, from_other_half<16>(value));
}
ROUTER_INLINE u32 wave_min(u32 value) {
  return static_cast<u32>(wave_min(static_cast<i32>(value ^ 0x80000000u))) ^ 0x80000000u;
}
ROUTER_INLINE i64 wave_min(i64 value) {
  const i32 high = wave_min(static_cast<i32>(value >> 32));
  const u32 low = wave_min(static_cast<i32>(value >> 32) == high ? static_cast<u32>(value) : 0xffffffffu);
  return (static_cast<i64>(high) << 32) | low;
}
`;

/** A kernel's text with reductions over a wave, for the forms that NVIDIA's GPUs run. */
export function withWaveReductions(text: string): string {
  const without = 'constexpr bool kHasWaveReduction = false;';
  if (text.split(without).length !== 2) throw new RangeError(`The source does not say once: ${without}`);
  return text.replace(without, WAVE_REDUCTIONS);
}

/** A kernel's unit with them. */
function unitWithWaveReductions(unit: KernelUnit): KernelUnit {
  return { ...unit, name: `${unit.name} with wave reductions`, source: () => withWaveReductions(unit.source()) };
}

/** How dispatch plans are made. */
export interface PlanForm {
  /** Chooses the kernel form of a call. Defaults to what the package chooses. */
  readonly chooseForm?: typeof specialize;
  /** The most blocks of a plan's second launch. Defaults to the package's. */
  readonly mostBlocks?: number;
}

/** Makes emulated routers for one kind of AMD GPU; objects are kept in a folder until `dispose`. */
export class Emulator {
  readonly #kernels: KernelEmulator;
  readonly #forms: KernelTarget;

  /** @param forms The GPU whose kernel forms are run: NVIDIA's on an emulated GPU of 32 lanes, or the same. */
  constructor(target: KernelTarget, forms: KernelTarget = target) {
    this.#kernels = new KernelEmulator(target);
    this.#forms = forms;
  }

  /** @param tokensHint stands in for T when the launch geometry is chosen; where there is a plan, T itself decides */
  createRouter(
    config: RouterConfig,
    tokensHint: number,
    { chooseForm = specialize, mostBlocks }: PlanForm = {},
  ): Router {
    const resolved = resolveRouterConfig(config);
    const { target } = this.#kernels;
    let isDisposed = false;
    const route: Router['route'] = async (logits, options) => {
      if (isDisposed) throw new DisposedError('router (emulated)');
      const call = checkRouteArguments(resolved, logits, options);
      const slots = call.tokens * resolved.topK;
      const weights = poison(new Float32Array(slots + GUARD));
      const ids = poison(idsArray(resolved.idsDtype, slots + GUARD));
      const indices = poison(new Int32Array(slots + GUARD));
      const elementBytes = logits.BYTES_PER_ELEMENT;
      const hasPadding = call.paddingMask !== null || call.rowCount < call.tokens;
      const form = chooseForm(resolved, this.#forms, {
        tokens: resolved.dispatchPlan ? call.tokens : tokensHint,
        padding: hasPadding,
        alignment: lowestBit((call.rowStride * elementBytes) | 16),
      });
      const plan = new EmulatedPlan(resolved, form, call.tokens);
      const blocks = gridSize(form, call.tokens);
      if (blocks > 0) {
        const kernel = this.#kernels.load({
          unit: this.#unitOf(form),
          symbol: `router::${form.symbol}`,
          arguments: !resolved.dispatchPlan
            ? ROUTER_KERNEL_ARGUMENTS
            : form.listsTiles
              ? TILES_ROUTER_KERNEL_ARGUMENTS
              : PLAN_ROUTER_KERNEL_ARGUMENTS,
          threadsPerBlock: form.threadsPerBlock,
        });
        kernel(
          blocks,
          // An array of its own, so that its address is aligned like a device allocation.
          logits.slice(),
          weights,
          ids,
          call.rowStride * elementBytes,
          call.tokens,
          resolved.routedScalingFactor,
          resolved.expertRange[0],
          resolved.expertRange[1],
          resolved.tokenExpertIndices ? indices : null,
          resolved.correctionBias,
          call.paddingMask,
          hasPadding ? Uint32Array.of(call.rowCount) : null,
          ...(resolved.dispatchPlan ? plan.routerArguments(blocks) : []),
        );
      }
      checkGuards({ weights, ids, ...(resolved.tokenExpertIndices && { indices }) });
      const output: RouterOutput = {
        tokens: call.tokens,
        ids: ids.subarray(0, slots),
        weights: weights.subarray(0, slots),
        ...(resolved.tokenExpertIndices && { tokenExpertIndices: indices.subarray(0, slots) }),
      };
      if (!resolved.dispatchPlan) return output;
      if (form.planShare === 'rows') {
        const placement = placePlan(resolved, this.#forms, form);
        const kernel = this.#kernels.load({
          unit: kernelUnit(placement),
          symbol: `router::${placement.symbol}`,
          arguments:
            resolved.expertTiles === null ? DISPATCH_PLAN_KERNEL_ARGUMENTS : TILES_DISPATCH_PLAN_KERNEL_ARGUMENTS,
          threadsPerBlock: placement.threadsPerBlock,
        });
        plan.place(kernel, ids, mostBlocks);
      }
      return { ...output, dispatchPlan: plan.read() };
    };
    const dispose = async (): Promise<void> => {
      isDisposed = true;
    };
    return {
      backend: 'hip',
      device: `CPU as ${target.architecture}`,
      config: resolved,
      route,
      dispose,
      [Symbol.asyncDispose]: dispose,
    };
  }

  dispose(): void {
    this.#kernels.dispose();
  }

  #unitOf(form: KernelSpecialization): KernelUnit {
    const unit = kernelUnit(form);
    return this.#forms.vendor === 'nvidia' ? unitWithWaveReductions(unit) : unit;
  }
}

/** The memory of one call's dispatch plan. */
class EmulatedPlan {
  readonly #config: ResolvedRouterConfig;
  readonly #form: KernelSpecialization;
  readonly #tokens: number;
  readonly #expertOffsets: Int32Array;
  readonly #sortedSlots: Int32Array;
  readonly #expertTiles: Int32Array;
  /** The number of arrived blocks, then counts and ranks. */
  readonly #workspace: Uint8Array;
  readonly #tileCapacity: number;

  constructor(config: ResolvedRouterConfig, form: KernelSpecialization, tokens: number) {
    const tiles = tileShapeOf(config);
    this.#config = config;
    this.#form = form;
    this.#tokens = tokens;
    this.#expertOffsets = poison(new Int32Array(config.experts + 1 + GUARD));
    this.#sortedSlots = poison(new Int32Array(tokens * config.topK + GUARD));
    this.#expertTiles = poison(new Int32Array((tiles === null ? 0 : expertTilesLength(tiles, tokens)) + GUARD));
    this.#tileCapacity = tiles === null ? 0 : expertTileCapacity(tiles, tokens);
    this.#workspace = poison(new Uint8Array(planWorkspaceBytes(config, form, tokens) + GUARD));
    this.#workspace.fill(0, 0, Math.min(ARRIVALS_BYTES, this.#workspace.length - GUARD));
  }

  /** The last arguments of the routing kernel. */
  routerArguments(blocks: number): EmulatedValue[] {
    const outputs = [this.#expertOffsets, this.#sortedSlots, this.#expertTiles];
    const tiles = this.#form.listsTiles ? [tileShiftOf(this.#config)] : [];
    return [...outputs, this.#workspace, this.#tileCapacity, blocks, ...tiles];
  }

  place(kernel: EmulatedKernel, ids: ExpertIds, mostBlocks?: number): void {
    const { rows, rowsPerBlock, blocks } = placementLaunch(this.#form, this.#tokens, mostBlocks);
    const outputs = [this.#expertOffsets, this.#sortedSlots, this.#expertTiles, this.#tileCapacity];
    const slots = this.#tokens * this.#config.topK;
    const tiles = this.#config.expertTiles === null ? [] : [tileShiftOf(this.#config)];
    kernel(blocks, ids, this.#workspace, ...outputs, slots, rows, rowsPerBlock, blocks, ...tiles);
  }

  read(): DispatchPlan {
    const guarded = { expertOffsets: this.#expertOffsets, sortedSlots: this.#sortedSlots };
    checkGuards({ ...guarded, expertTiles: this.#expertTiles, workspace: this.#workspace });
    if (
      this.#workspace
        .subarray(0, this.#workspace.length - GUARD)
        .subarray(0, ARRIVALS_BYTES)
        .some(Boolean)
    ) {
      throw new RangeError('The launch leaves arrivals behind.');
    }
    const tiles = tileShapeOf(this.#config);
    return {
      expertOffsets: this.#expertOffsets.subarray(0, -GUARD),
      sortedSlots: this.#sortedSlots.subarray(0, -GUARD),
      ...(tiles !== null && { expertTiles: viewExpertTiles(this.#expertTiles.subarray(0, -GUARD), tiles) }),
    };
  }
}

function idsArray(dtype: 'i32' | 'u32' | 'i64', length: number): ExpertIds {
  if (dtype === 'i64') return new BigInt64Array(length);
  return dtype === 'u32' ? new Uint32Array(length) : new Int32Array(length);
}

function checkGuards(outputs: Readonly<Record<string, ExpertIds | Float32Array | Uint8Array>>): void {
  for (const [name, elements] of Object.entries(outputs)) {
    if (!isTailPoisoned(elements, GUARD * elements.BYTES_PER_ELEMENT)) {
      throw new RangeError(`The kernel wrote past the end of ${name}.`);
    }
  }
}

function lowestBit(value: number): number {
  return value & -value;
}
