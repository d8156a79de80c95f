/** Element types that the runner's graphs use, with ONNX's numbers for them. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, bfloat16: 16 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  float32: 4,
  uint8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  bfloat16: 2,
};

/** Bytes of a dense tensor. */
export function byteLength(type: ElementType, shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, ELEMENT_BYTES[type]);
}
