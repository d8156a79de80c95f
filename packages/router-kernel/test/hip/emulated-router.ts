/** A router that runs the AMD kernels on the CPU, see KernelEmulator. */

import { isTailPoisoned, KernelEmulator, poison } from '@switchyard/gpu/testing';
import type { KernelTarget, KernelUnit } from '@switchyard/gpu';
import { checkRouteArguments, resolveRouterConfig } from '../../src/resolve-config.ts';
import type { ExpertIds, Router, RouterConfig, RouterOutput } from '../../src/contract.ts';
import { DisposedError } from '../../src/errors.ts';
import { DISPATCH_PLAN_KERNEL_ARGUMENTS, ROUTER_KERNEL_ARGUMENTS } from '../../src/hip/kernel/argument-lists.ts';
import { planDispatchLaunches } from '../../src/hip/kernel/dispatch-plan-launches.ts';
import { kernelUnit } from '../../src/hip/kernel/source.ts';
import { gridSize, specialize } from '../../src/hip/kernel/specialization.ts';
import type { KernelSpecialization } from '../../src/hip/kernel/specialization.ts';

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

/** A kernel's unit with reductions over a wave, for the forms that NVIDIA's GPUs run. */
function withWaveReductions(unit: KernelUnit): KernelUnit {
  const without = 'constexpr bool kHasWaveReduction = false;';
  return {
    ...unit,
    name: `${unit.name} with wave reductions`,
    source: () => {
      const text = unit.source();
      if (text.split(without).length !== 2) throw new RangeError(`The source does not say once: ${without}`);
      return text.replace(without, WAVE_REDUCTIONS);
    },
  };
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

  /** @param tokensHint stands in for T when the launch geometry is chosen */
  createRouter(config: RouterConfig, tokensHint: number): Router {
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
      const specialization = specialize(resolved, this.#forms, {
        tokens: tokensHint,
        padding: hasPadding,
        alignment: lowestBit((call.rowStride * elementBytes) | 16),
      });
      // An array of its own, so that its address is aligned like a device allocation.
      const input = logits.slice();
      const blocks = gridSize(specialization, call.tokens);
      if (blocks > 0) {
        const kernel = this.#kernels.load({
          unit: this.#unitOf(specialization),
          symbol: `router::${specialization.symbol}`,
          arguments: ROUTER_KERNEL_ARGUMENTS,
          threadsPerBlock: specialization.threadsPerBlock,
        });
        kernel(
          blocks,
          input,
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

      const expertOffsets = poison(new Int32Array(resolved.experts + 1 + GUARD));
      const sortedSlots = poison(new Int32Array(slots + GUARD));
      const plan = planDispatchLaunches(resolved, target, call.tokens);
      const workspace = poison(new Uint32Array(plan.workspaceBytes / 4 + GUARD));
      for (const launch of plan.launches) {
        const kernel = this.#kernels.load({
          unit: kernelUnit(plan),
          symbol: `router::${launch.symbol}`,
          arguments: DISPATCH_PLAN_KERNEL_ARGUMENTS,
          threadsPerBlock: launch.threadsPerBlock,
        });
        kernel(launch.blocks, ids, expertOffsets, sortedSlots, workspace, plan.slots, plan.slotsPerBlock, plan.blocks);
      }
      checkGuards({ expertOffsets, sortedSlots, workspace });
      const dispatchPlan = {
        expertOffsets: expertOffsets.subarray(0, resolved.experts + 1),
        sortedSlots: sortedSlots.subarray(0, slots),
      };
      return { ...output, dispatchPlan };
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
    return this.#forms.vendor === 'nvidia' ? withWaveReductions(unit) : unit;
  }
}

function idsArray(dtype: 'i32' | 'u32' | 'i64', length: number): ExpertIds {
  if (dtype === 'i64') return new BigInt64Array(length);
  return dtype === 'u32' ? new Uint32Array(length) : new Int32Array(length);
}

function checkGuards(outputs: Readonly<Record<string, ExpertIds | Float32Array>>): void {
  for (const [name, elements] of Object.entries(outputs)) {
    if (!isTailPoisoned(elements, GUARD * elements.BYTES_PER_ELEMENT)) {
      throw new RangeError(`The kernel wrote past the end of ${name}.`);
    }
  }
}

function lowestBit(value: number): number {
  return value & -value;
}
