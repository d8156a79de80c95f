import { UnknownSequenceError } from '../errors.ts';

/** The shape of a model's keys and values. */
export interface KvShape {
  /** One entry a layer. */
  readonly layerTypes: readonly ('sliding' | 'full')[];
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Positions a sliding layer sees, the token itself included. */
  readonly window: number;
}

/** The rotated keys and the values of one layer for the rows of a step, each f32 [batch, length, heads * headDim]. */
export interface NewRows {
  readonly key: Float32Array;
  readonly value: Float32Array;
  /** Elements from a row to the next. */
  readonly stride: number;
}

/** One layer's cache of an arena: f32 [slots, heads, capacity, headDim] each. */
interface LayerCache {
  readonly capacity: number;
  key: Float32Array;
  value: Float32Array;
}

interface Sequence {
  arena: Arena;
  slot: number;
  /** Tokens so far. */
  length: number;
  /** The position of the oldest row that the sliding layers still hold. */
  windowStart: number;
}

/** Sequences of like length side by side, so that any run of neighbours is one tensor. */
interface Arena {
  /** Rows of a full layer. */
  readonly capacity: number;
  readonly layers: readonly LayerCache[];
  readonly occupants: (Sequence | null)[];
}

/** The smallest arena's rows. */
const SMALLEST_CAPACITY = 128;
const F32_BYTES = 4;

/**
 * Keys and values of all sequences, in arrays that ONNX Runtime reads in place.
 *
 * A step over several sequences needs their caches as one tensor [batch, heads, capacity, headDim], so sequences whose
 * lengths round up to the same power of two live in neighbouring slots of one arena. A sequence moves when it outgrows
 * its arena, or when the sequences of a step are not neighbours: each a copy now and then, none per step.
 *
 * Sliding layers hold at most two windows of rows. When those are full, all but one window is dropped.
 */
export class KvCache {
  readonly #shape: KvShape;
  readonly #sequences = new Map<number, Sequence>();
  readonly #arenas = new Map<number, Arena>();
  #next = 1;

  constructor(shape: KvShape) {
    this.#shape = shape;
  }

  /** Makes an empty sequence. */
  create(): number {
    const sequence = this.#place({ length: 0, windowStart: 0 }, SMALLEST_CAPACITY);
    this.#sequences.set(this.#next, sequence);
    return this.#next++;
  }

  /** Copies the first `length` tokens of a sequence; null where a sliding layer has dropped rows that the next token would see. */
  fork(number: number, length: number): number | null {
    const source = this.#get(number);
    if (length === 0) {
      return this.create();
    }
    if (!this.#seesBackFrom(source, length)) {
      return null;
    }
    const copy = this.#place({ length, windowStart: source.windowStart }, roundCapacity(length));
    this.#copyRows(source, copy);
    this.#sequences.set(this.#next, copy);
    return this.#next++;
  }

  /** Drops the tokens after the first `length`; false, with nothing changed, where `fork` gives null. */
  truncate(number: number, length: number): boolean {
    const sequence = this.#get(number);
    if (length === 0) {
      sequence.windowStart = 0;
    } else if (!this.#seesBackFrom(sequence, length)) {
      return false;
    }
    sequence.length = length;
    return true;
  }

  /** Tokens of a sequence. */
  length(number: number): number {
    return this.#get(number).length;
  }

  /** Drops a sequence. An arena without sequences is freed. */
  release(number: number): void {
    const sequence = this.#get(number);
    this.#sequences.delete(number);
    this.#vacate(sequence);
  }

  /** Drops everything. */
  clear(): void {
    this.#sequences.clear();
    this.#arenas.clear();
  }

  /** Which arena a sequence will be in with `more` tokens: sequences with equal answers can share a step. */
  capacityFor(number: number, more: number): number {
    const { arena, length } = this.#get(number);
    return Math.max(arena.capacity, roundCapacity(length + more));
  }

  /**
   * Makes room for `more` tokens in each sequence and brings them next to each other. All must have the same
   * `capacityFor(number, more)`. Returns the step's view of the cache, its rows in slot order.
   */
  view(numbers: readonly number[], more: number): KvView {
    const sequences = numbers.map((number) => this.#get(number));
    for (const sequence of sequences) {
      const capacity = roundCapacity(sequence.length + more);
      if (capacity > sequence.arena.capacity) {
        this.#moveToArena(sequence, capacity);
      }
    }
    this.#makeNeighbours(sequences);
    const order = numbers.map((_, index) => index);
    order.sort((a, b) => (sequences[a] as Sequence).slot - (sequences[b] as Sequence).slot);
    return new KvView(
      this.#shape,
      order.map((index) => sequences[index] as Sequence),
      order,
      more,
    );
  }

  /** Bytes of one sequence of `tokens` tokens. */
  bytes(tokens: number): number {
    const { layerTypes, keyValueHeads, headDim } = this.#shape;
    const rows = layerTypes.reduce((sum, type) => sum + this.#capacityOf(type, roundCapacity(tokens)), 0);
    return rows * keyValueHeads * headDim * 2 * F32_BYTES;
  }

  #get(number: number): Sequence {
    const sequence = this.#sequences.get(number);
    if (sequence === undefined) {
      throw new UnknownSequenceError(number);
    }
    return sequence;
  }

  /** Whether a token after the first `length` would find all that its windows see. */
  #seesBackFrom({ windowStart }: Sequence, length: number): boolean {
    return Math.max(0, length - this.#shape.window + 1) >= windowStart;
  }

  #capacityOf(type: 'sliding' | 'full', capacity: number): number {
    return type === 'full' ? capacity : Math.min(capacity, 2 * this.#shape.window);
  }

  #arena(capacity: number): Arena {
    let arena = this.#arenas.get(capacity);
    if (arena === undefined) {
      const layers = this.#shape.layerTypes.map(
        (type): LayerCache => ({
          capacity: this.#capacityOf(type, capacity),
          key: new Float32Array(0),
          value: new Float32Array(0),
        }),
      );
      arena = { capacity, layers, occupants: [] };
      this.#arenas.set(capacity, arena);
    }
    return arena;
  }

  #place({ length, windowStart }: Pick<Sequence, 'length' | 'windowStart'>, capacity: number): Sequence {
    const arena = this.#arena(capacity);
    let slot = arena.occupants.indexOf(null);
    if (slot < 0) {
      slot = arena.occupants.length;
      const slots = Math.max(1, 2 * slot);
      for (const layer of arena.layers) {
        layer.key = resized(layer.key, slots * this.#slotSize(layer));
        layer.value = resized(layer.value, slots * this.#slotSize(layer));
      }
      while (arena.occupants.length < slots) {
        arena.occupants.push(null);
      }
    }
    const sequence: Sequence = { arena, slot, length, windowStart };
    arena.occupants[slot] = sequence;
    return sequence;
  }

  #vacate({ arena, slot }: Pick<Sequence, 'arena' | 'slot'>): void {
    arena.occupants[slot] = null;
    if (arena.occupants.every((occupant) => occupant === null)) {
      this.#arenas.delete(arena.capacity);
    }
  }

  #moveToArena(sequence: Sequence, capacity: number): void {
    const old = { arena: sequence.arena, slot: sequence.slot };
    const moved = this.#place(sequence, capacity);
    this.#copyRows({ ...sequence, ...old }, moved);
    sequence.arena = moved.arena;
    sequence.slot = moved.slot;
    moved.arena.occupants[moved.slot] = sequence;
    this.#vacate(old);
  }

  #copyRows(from: Sequence, to: Sequence): void {
    const { keyValueHeads, headDim, layerTypes } = this.#shape;
    layerTypes.forEach((type, index) => {
      const source = from.arena.layers[index] as LayerCache;
      const target = to.arena.layers[index] as LayerCache;
      const rows = Math.min(type === 'full' ? to.length : to.length - to.windowStart, target.capacity);
      for (let head = 0; head < keyValueHeads; head++) {
        const start = (from.slot * keyValueHeads + head) * source.capacity * headDim;
        const place = (to.slot * keyValueHeads + head) * target.capacity * headDim;
        target.key.set(source.key.subarray(start, start + rows * headDim), place);
        target.value.set(source.value.subarray(start, start + rows * headDim), place);
      }
    });
  }

  #makeNeighbours(sequences: readonly Sequence[]): void {
    const slots = sequences.map(({ slot }) => slot);
    const count = slots.length;
    if (Math.max(...slots) - Math.min(...slots) + 1 === count) {
      return;
    }
    const members = new Set(sequences);
    const outside = sequences.filter(({ slot }) => slot >= count);
    const arena = (sequences[0] as Sequence).arena;
    for (let slot = 0; slot < count; slot++) {
      const occupant = arena.occupants[slot];
      if (occupant === null || occupant === undefined || !members.has(occupant)) {
        this.#swap(arena, slot, (outside.pop() as Sequence).slot);
      }
    }
  }

  #swap(arena: Arena, a: number, b: number): void {
    for (const layer of arena.layers) {
      const size = this.#slotSize(layer);
      for (const array of [layer.key, layer.value]) {
        const kept = array.slice(a * size, (a + 1) * size);
        array.copyWithin(a * size, b * size, (b + 1) * size);
        array.set(kept, b * size);
      }
    }
    const first = arena.occupants[a] ?? null;
    const second = arena.occupants[b] ?? null;
    arena.occupants[a] = second;
    arena.occupants[b] = first;
    if (first !== null) {
      first.slot = b;
    }
    if (second !== null) {
      second.slot = a;
    }
  }

  #slotSize({ capacity }: LayerCache): number {
    return this.#shape.keyValueHeads * capacity * this.#shape.headDim;
  }
}

/** What one step sees of the cache, and the way its new rows come back. Valid until the cache is changed. */
export class KvView {
  /** For each row of the step's batch, the index of its sequence in the list given to `KvCache.view`. */
  readonly order: readonly number[];
  readonly #shape: KvShape;
  readonly #sequences: readonly Sequence[];
  readonly #more: number;

  constructor(shape: KvShape, sequences: readonly Sequence[], order: readonly number[], more: number) {
    this.#shape = shape;
    this.#sequences = sequences;
    this.order = order;
    this.#more = more;
  }

  /** Tokens that each sequence had before the step. */
  get lengths(): readonly number[] {
    return this.#sequences.map(({ length }) => length);
  }

  /** Rows that each sequence had in the layers of a type before the step. */
  rows(type: 'sliding' | 'full'): number[] {
    return this.#sequences.map(({ length, windowStart }) => (type === 'full' ? length : length - windowStart));
  }

  /** One layer's past, f32 `shape` each, not copied. */
  past(layer: number): { readonly shape: readonly number[]; readonly key: Float32Array; readonly value: Float32Array } {
    const first = this.#sequences[0] as Sequence;
    const { capacity, key, value } = first.arena.layers[layer] as LayerCache;
    const { keyValueHeads, headDim } = this.#shape;
    const size = keyValueHeads * capacity * headDim;
    const start = first.slot * size;
    const end = start + this.#sequences.length * size;
    return {
      shape: [this.#sequences.length, keyValueHeads, capacity, headDim],
      key: key.subarray(start, end),
      value: value.subarray(start, end),
    };
  }

  /** Writes a whole step's rows, one entry a layer, and lengthens the sequences. */
  append(layers: readonly NewRows[]): void {
    this.#sequences.forEach((sequence, batch) => {
      const { window, layerTypes } = this.#shape;
      const length = sequence.length + this.#more;
      let { windowStart } = sequence;
      const sliding = sequence.arena.layers[layerTypes.indexOf('sliding')];
      if (sliding !== undefined && length - windowStart > sliding.capacity) {
        windowStart = length - window;
      }
      layers.forEach((rows, layer) => {
        const cache = sequence.arena.layers[layer] as LayerCache;
        const oldStart = layerTypes[layer] === 'full' ? 0 : sequence.windowStart;
        const newStart = layerTypes[layer] === 'full' ? 0 : windowStart;
        this.#write(cache.key, cache.capacity, sequence, batch, rows.key, rows.stride, oldStart, newStart);
        this.#write(cache.value, cache.capacity, sequence, batch, rows.value, rows.stride, oldStart, newStart);
      });
      sequence.length = length;
      sequence.windowStart = windowStart;
    });
  }

  /** Drops the rows before position `newStart`, then adds the new ones: [batch, length, head, headDim] to [head, row, headDim]. */
  #write(
    cache: Float32Array,
    capacity: number,
    sequence: Sequence,
    batch: number,
    added: Float32Array,
    stride: number,
    oldStart: number,
    newStart: number,
  ): void {
    const { keyValueHeads, headDim } = this.#shape;
    for (let head = 0; head < keyValueHeads; head++) {
      const base = (sequence.slot * keyValueHeads + head) * capacity * headDim;
      if (newStart > oldStart && newStart < sequence.length) {
        const from = base + (newStart - oldStart) * headDim;
        cache.copyWithin(base, from, base + (sequence.length - oldStart) * headDim);
      }
      for (let row = Math.max(0, newStart - sequence.length); row < this.#more; row++) {
        const source = (batch * this.#more + row) * stride + head * headDim;
        const target = base + (sequence.length + row - newStart) * headDim;
        cache.set(added.subarray(source, source + headDim), target);
      }
    }
  }
}

function roundCapacity(tokens: number): number {
  return Math.max(SMALLEST_CAPACITY, 2 ** Math.ceil(Math.log2(tokens)));
}

function resized(values: Float32Array, length: number): Float32Array {
  const larger = new Float32Array(length);
  larger.set(values);
  return larger;
}
