/** Reads what LLVM's tools print of an AMD code object: the resources that kernels take, and their instructions. */

/** What one kernel takes, as the code object's notes have it. */
export interface KernelResources {
  readonly symbol: string;
  /** Vector registers of a lane. */
  readonly vgprs: number;
  /** Scalar registers of a wave. */
  readonly sgprs: number;
  /** Registers that did not fit and go through memory. */
  readonly vgprSpills: number;
  readonly sgprSpills: number;
  /** Bytes of local data share (shared memory) of a block. */
  readonly lds: number;
  /** Bytes of private memory of a lane. */
  readonly scratch: number;
}

/** One instruction, without its address and encoding. */
export interface Instruction {
  /** Such as `'v_min_i32_dpp'`. */
  readonly mnemonic: string;
  readonly operands: string;
}

/** How often instructions of a kind occur. */
export interface InstructionMix {
  /** Arithmetic on lanes, DPP included. */
  readonly vector: number;
  /** Of those, the ones that read a neighbouring lane in the same instruction. */
  readonly dataParallelPrimitives: number;
  /** Arithmetic and control on whole waves. */
  readonly scalar: number;
  /** Loads and stores of device memory, lane-wise. */
  readonly vectorMemory: number;
  /** Loads of arguments and constants. */
  readonly scalarMemory: number;
  /** What goes through the pipe of the local data share: its memory, ds_bpermute, ds_swizzle. */
  readonly localDataShare: number;
  /** Waits and pauses. */
  readonly waits: number;
}

const NOTE_FIELDS = {
  vgprs: 'vgpr_count',
  sgprs: 'sgpr_count',
  vgprSpills: 'vgpr_spill_count',
  sgprSpills: 'sgpr_spill_count',
  lds: 'group_segment_fixed_size',
  scratch: 'private_segment_fixed_size',
} as const;

/** The kernels in the output of `llvm-readelf --notes`, in the object's order. */
export function parseKernelNotes(text: string): KernelResources[] {
  const found: KernelResources[] = [];
  let fields = new Map<string, string>();
  const finish = (): void => {
    const symbol = fields.get('symbol')?.replace(/\.kd$/, '');
    if (symbol === undefined) return;
    const value = (name: string): number => Number(fields.get(name) ?? NaN);
    found.push({
      symbol,
      vgprs: value(NOTE_FIELDS.vgprs),
      sgprs: value(NOTE_FIELDS.sgprs),
      vgprSpills: value(NOTE_FIELDS.vgprSpills),
      sgprSpills: value(NOTE_FIELDS.sgprSpills),
      lds: value(NOTE_FIELDS.lds),
      scratch: value(NOTE_FIELDS.scratch),
    });
  };
  for (const line of text.split('\n')) {
    // A kernel's fields are at two levels of indentation; those of its arguments are deeper.
    const field = /^ {2}(- | {2})\.(\w+): *'?([^']*?)'?$/.exec(line);
    if (field === null) continue;
    if (field[1] === '- ') {
      finish();
      fields = new Map();
    }
    fields.set(field[2] ?? '', field[3] ?? '');
  }
  finish();
  return found;
}

/**
 * Every kernel's instructions in the output of `llvm-objdump -d`, by symbol, up to the kernel's end; the padding after it
 * is left out.
 */
export function parseListing(text: string): Map<string, readonly Instruction[]> {
  const kernels = new Map<string, Instruction[]>();
  let current: Instruction[] = [];
  for (const line of text.split('\n')) {
    const label = /^[0-9a-f]+ <(.+)>:$/.exec(line)?.[1];
    if (label !== undefined) {
      // Labels inside a kernel are named L0, L1, ...
      if (/^L\d+$/.test(label)) continue;
      current = [];
      kernels.set(label, current);
      continue;
    }
    const instruction = /^\t([a-z]\w+)\s*(.*?)\s*(?:\/\/.*)?$/.exec(line);
    if (instruction !== null) current.push({ mnemonic: instruction[1] ?? '', operands: instruction[2] ?? '' });
  }
  for (const instructions of kernels.values()) {
    instructions.length = instructions.findLastIndex(({ mnemonic }) => mnemonic === 's_endpgm') + 1;
  }
  return kernels;
}

/** One kernel's instructions of those that `parseListing` reads. Empty where the object has no such kernel. */
export function parseDisassembly(text: string, symbol: string): readonly Instruction[] {
  return parseListing(text).get(symbol) ?? [];
}

/** Counts instructions by kind. */
export function instructionMix(instructions: readonly Instruction[]): InstructionMix {
  const count = (pattern: RegExp): number => instructions.filter(({ mnemonic }) => pattern.test(mnemonic)).length;
  const waits = count(/^s_(wait|nop|delay|sleep|clause)/);
  const scalarMemory = count(/^s_(load|buffer_load)/);
  return {
    vector: count(/^v_/),
    dataParallelPrimitives: count(/_dpp$/),
    scalar: count(/^s_/) - waits - scalarMemory,
    vectorMemory: count(/^(global|flat|buffer|scratch)_/),
    scalarMemory,
    localDataShare: count(/^ds_/),
    waits,
  };
}

/**
 * The fused multiply-adds that add a value as it was loaded from memory: a product that was fused with the sum after it.
 * Follows registers through moves, in the order of the listing.
 */
export function productsFusedWithLoads(instructions: readonly Instruction[]): Instruction[] {
  const loaded = new Set<string>();
  const found: Instruction[] = [];
  for (const whole of instructions) {
    for (const { mnemonic, operands } of halvesOf(whole)) {
      const places = operands.split(/,\s*/);
      const target = registersOf(places[0]);
      const isFused = /^v_(?:pk_|dual_)?(?:fma|mad)(?:mk|_mix)?_f|^v_(?:dual_)?(?:fmac|mac)_f/.test(mnemonic);
      const addend = /(?:fmac|mac)_f/.test(mnemonic) ? target : registersOf(places[3]);
      if (isFused && addend.some((register) => loaded.has(register))) found.push(whole);
      const isLoad = /^(?:global|flat|buffer)_load/.test(mnemonic);
      const isMoved = /^v_(?:dual_)?mov_b/.test(mnemonic) && registersOf(places[1]).some((from) => loaded.has(from));
      if (!isLoad && !mnemonic.startsWith('v_')) continue;
      for (const register of target) {
        if (isLoad || isMoved) loaded.add(register);
        else loaded.delete(register);
      }
    }
  }
  return found;
}

/** RDNA issues two instructions as one: 'v_dual_fmac_f32 v0, v1, v2 :: v_dual_mov_b32 v3, v4'. */
function halvesOf({ mnemonic, operands }: Instruction): Instruction[] {
  const [first = '', ...others] = operands.split(/\s*::\s*/);
  const rest = others.map((text) => {
    const [other = '', ...places] = text.split(' ');
    return { mnemonic: other, operands: places.join(' ') };
  });
  return [{ mnemonic, operands: first }, ...rest];
}

/** The vector registers of an operand: 'v7', '-v7', '|v7|', or 'v[4:7]'. */
function registersOf(operand = ''): string[] {
  const match = /\bv(?:(\d+)|\[(\d+):(\d+)\])/.exec(operand);
  if (match === null) return [];
  const first = Number(match[1] ?? match[2]);
  const last = Number(match[1] ?? match[3]);
  return Array.from({ length: last - first + 1 }, (_, i) => `v${first + i}`);
}
