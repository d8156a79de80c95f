/**
 * Passes of decoding as captured graphs: all that differs from step to step is in the step block, so that a graph is recorded
 * once for each size and launched as it is.
 */

import type { GpuDriver, GpuGraph, GpuStream } from '@switchyard/gpu';
import type { ChoiceNeeds } from './choice-pass.ts';
import { type PassParts, type PassSize, enqueueHead, enqueueLayers } from './forward-pass.ts';
import { HEAD_ROWS, MOST_KEY_RUNS } from './sizes.ts';

/** Rows that graphs have room for; a pass takes the smallest that holds it. */
const ROWS = [1, 2, 4, 8, 16, 32, HEAD_ROWS] as const;
/** Partial results of a row that graphs have room for. */
const PARTIALS = [1, 4, 16, MOST_KEY_RUNS] as const;

/** What decides which graph a pass takes. */
export type GraphSize = PassSize & ChoiceNeeds;

/** The smallest graph that holds a pass. */
function roomFor(size: GraphSize): PassSize & { readonly key: string } {
  const rows = ROWS.find((most) => most >= size.rows) ?? size.rows;
  const mostPartials = PARTIALS.find((most) => most >= size.mostPartials) ?? size.mostPartials;
  return { rows, mostPartials, key: `${rows} ${mostPartials} ${size.draws} ${size.adjusts}` };
}

/** The graphs that were needed so far. */
export class PassGraphs {
  readonly #driver: GpuDriver;
  readonly #parts: PassParts;
  readonly #graphs = new Map<string, GpuGraph>();

  constructor(driver: GpuDriver, parts: PassParts) {
    this.#driver = driver;
    this.#parts = parts;
  }

  /** Whether there are graphs for passes of a size, all of whose rows want something. */
  static takes({ rows }: PassSize): boolean {
    return rows <= HEAD_ROWS;
  }

  /** Whether there is a graph for passes of a size. */
  has(size: GraphSize): boolean {
    return this.#graphs.has(roomFor(size).key);
  }

  /** Makes the graph for passes of a size. */
  async prepare(stream: GpuStream, size: GraphSize): Promise<void> {
    const { key, rows, mostPartials } = roomFor(size);
    const { draws, adjusts } = size;
    await this.#parts.router.prepare({ tokens: rows, padding: true });
    const graph = this.#driver.capture(stream, () => {
      enqueueLayers(this.#parts, stream, { rows, mostPartials });
      enqueueHead(this.#parts, stream, { first: 0, count: rows, draws, adjusts });
    });
    graph.upload(stream);
    this.#graphs.set(key, graph);
  }

  /** Enqueues all layers, the head and the choice of tokens. Returns the rows that the graph has room for. */
  launch(stream: GpuStream, size: GraphSize): number {
    const { key, rows } = roomFor(size);
    const graph = this.#graphs.get(key);
    if (graph === undefined) throw new RangeError(`No graph was prepared for a pass of ${size.rows} rows.`);
    graph.launch(stream);
    return rows;
  }

  destroy(): void {
    for (const graph of this.#graphs.values()) graph.destroy();
    this.#graphs.clear();
  }
}
