/**
 * A router that runs the AMD kernels on the CPU: clang compiles the kernel source for the host, with the instructions
 * that only a GPU has replaced by emulation/lockstep.hpp. It shows that the source computes the contract with AMD's
 * lane exchanges and wave sizes; it says nothing of the GPU compiler or of speed.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { checkRouteArguments, resolveRouterConfig } from '../../../src/contract.ts';
import type { ExpertIds, Router, RouterConfig, RouterOutput } from '../../../src/contract.ts';
import { DisposedError } from '../../../src/errors.ts';
import { planDispatchLaunches } from '../../../src/hip/kernel/dispatch-plan-launches.ts';
import { DISPATCH_PLAN_KERNEL_ARGUMENTS, ROUTER_KERNEL_ARGUMENTS } from '../../../src/hip/kernel/kernel-arguments.ts';
import type { KernelArgument } from '../../../src/hip/kernel/kernel-arguments.ts';
import { kernelSource } from '../../../src/hip/kernel/source.ts';
import { gridSize, specialize } from '../../../src/hip/kernel/specialization.ts';
import type { KernelTarget } from '../../../src/hip/kernel/specialization.ts';

export const HOST_COMPILER = 'clang++-22';

/** Whether the host compiler is there; tests that need it skip where it is not. */
export function hasHostCompiler(): boolean {
  try {
    execFileSync(HOST_COMPILER, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

type KernelValue = ArrayBufferView | number | bigint | null;
type EmulatedKernel = (blocks: number, ...values: KernelValue[]) => void;

const CPP_TYPES = {
  pointer: (name: string) => `void* ${name}`,
  u32: (name: string) => `unsigned ${name}`,
  i64: (name: string) => `long long ${name}`,
  f32: (name: string) => `float ${name}`,
};
const KOFFI_TYPES = { pointer: 'void *', u32: 'uint32_t', i64: 'int64_t', f32: 'float' };
const LOCKSTEP = fileURLToPath(new URL('lockstep.hpp', import.meta.url));

/** Elements after each output that must come out as they went in. */
const GUARD = 16;

/** Makes emulated routers for one kind of AMD GPU; objects are kept in a folder until `dispose`. */
export class Emulator {
  readonly #target: KernelTarget;
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'router-kernel-emulation-'));

  constructor(target: KernelTarget) {
    this.#target = target;
  }

  /** @param tokensHint stands in for T when the launch geometry is chosen */
  createRouter(config: RouterConfig, tokensHint: number): Router {
    const resolved = resolveRouterConfig(config);
    const target = this.#target;
    let isDisposed = false;
    const route: Router['route'] = async (logits, options) => {
      if (isDisposed) throw new DisposedError('router (emulated)');
      const call = checkRouteArguments(resolved, logits, options);
      const slots = call.tokens * resolved.topK;
      const weights = guarded(new Float32Array(slots + GUARD));
      const ids = guarded(idsArray(resolved.idsDtype, slots + GUARD));
      const indices = guarded(new Int32Array(slots + GUARD));
      const elementBytes = logits.BYTES_PER_ELEMENT;
      const hasPadding = call.paddingMask !== null || call.rowCount < call.tokens;
      const specialization = specialize(resolved, target, {
        tokens: tokensHint,
        padding: hasPadding,
        alignment: lowestBit((call.rowStride * elementBytes) | 16),
      });
      // An array of its own, so that its address is aligned like a device allocation.
      const input = logits.slice();
      const blocks = gridSize(specialization, call.tokens);
      if (blocks > 0) {
        const kernel = this.#load(
          specialization,
          specialization.symbol,
          ROUTER_KERNEL_ARGUMENTS,
          specialization.threadsPerBlock,
        );
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

      const expertOffsets = guarded(new Int32Array(resolved.experts + 1 + GUARD));
      const sortedSlots = guarded(new Int32Array(slots + GUARD));
      const plan = planDispatchLaunches(resolved, target, call.tokens);
      const workspace = guarded(new Uint32Array(plan.workspaceBytes / 4 + GUARD));
      for (const launch of plan.launches) {
        const kernel = this.#load(plan, launch.symbol, DISPATCH_PLAN_KERNEL_ARGUMENTS, launch.threadsPerBlock);
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
    rmSync(this.#folder, { recursive: true, force: true });
  }

  readonly #kernels = new Map<string, EmulatedKernel>();

  #load(
    unit: {
      readonly source: 'topk_gating_softmax' | 'dispatch_plan';
      readonly defines: Readonly<Record<string, string | number>>;
    },
    symbol: string,
    kernelArguments: readonly KernelArgument[],
    threads: number,
  ): EmulatedKernel {
    const known = this.#kernels.get(symbol);
    if (known !== undefined) return known;
    const parameters = kernelArguments.map(({ name, type }) => CPP_TYPES[type](name)).join(', ');
    const values = kernelArguments.map(({ name, type }) => (type === 'pointer' ? `Pointer{${name}}` : name)).join(', ');
    const text = [
      kernelSource(unit.source),
      'struct Pointer { void* address; template <class T> operator T*() const { return static_cast<T*>(address); } };',
      `extern "C" void emulate(unsigned emulatedBlocks, ${parameters}) {`,
      `  lockstep::launch(emulatedBlocks, ${threads}, [=] { router::${symbol}(${values}); });`,
      '}',
    ].join('\n');
    const defines = Object.entries(unit.defines).map(([name, value]) => `-D${name}=${value}`);
    const options = [
      '-x',
      'c++',
      '-std=c++17',
      '-O1',
      '-fPIC',
      '-shared',
      // As HIP's compilers do it: products are fused with sums wherever a pragma does not forbid it.
      '-ffp-contract=fast-honor-pragmas',
      '-Wno-everything',
      '-march=x86-64-v3',
      `-DEMULATED_WAVE_SIZE=${this.#target.waveSize}`,
      ...(this.#target.waveSize === 64 ? ['-D__GFX9__'] : []),
      ...defines,
      '-include',
      LOCKSTEP,
    ];
    const hash = createHash('sha256').update(text).update(options.join(' ')).digest('hex').slice(0, 16);
    const library = path.join(this.#folder, `${hash}.so`);
    if (!existsSync(library)) {
      mkdirSync(this.#folder, { recursive: true });
      const source = path.join(this.#folder, `${hash}.cpp`);
      writeFileSync(source, text);
      execFileSync(HOST_COMPILER, [...options, '-o', `${library}.new`, source], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      renameSync(`${library}.new`, library);
    }
    const types = kernelArguments.map(({ type }) => KOFFI_TYPES[type]);
    const kernel: EmulatedKernel = koffi.load(library).func('emulate', 'void', ['uint32_t', ...types]);
    this.#kernels.set(symbol, kernel);
    return kernel;
  }
}

function idsArray(dtype: 'i32' | 'u32' | 'i64', length: number): ExpertIds {
  if (dtype === 'i64') return new BigInt64Array(length);
  return dtype === 'u32' ? new Uint32Array(length) : new Int32Array(length);
}

const GUARD_BYTE = 0xa5;

function guarded<Elements extends ArrayBufferView>(elements: Elements): Elements {
  new Uint8Array(elements.buffer).fill(GUARD_BYTE);
  return elements;
}

function checkGuards(outputs: Readonly<Record<string, ExpertIds | Float32Array>>): void {
  for (const [name, elements] of Object.entries(outputs)) {
    const tail = new Uint8Array(elements.buffer).subarray(-GUARD * elements.BYTES_PER_ELEMENT);
    if (tail.some((byte) => byte !== GUARD_BYTE)) throw new RangeError(`The kernel wrote past the end of ${name}.`);
  }
}

function lowestBit(value: number): number {
  return value & -value;
}
