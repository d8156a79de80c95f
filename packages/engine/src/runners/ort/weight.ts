import type { ElementType } from './element-type.ts';
import type { WeightReader } from './weight-reader.ts';

/** One constant that a weight becomes. */
export interface WeightConstant {
  /** The constant's name in the graph. */
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/**
 * A checkpoint's tensor on its way into a graph: read and converted only when a session is made, straight to where the
 * session takes it from. One tensor may become several constants, such as codes and scales.
 */
export interface Weight {
  readonly constants: readonly WeightConstant[];
  /** Writes every byte of the constants, each to its target. Targets are aligned to 4 bytes. */
  write(targets: readonly Uint8Array[], reader: WeightReader): void;
}
