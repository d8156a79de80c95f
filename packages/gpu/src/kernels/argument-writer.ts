/** Packing kernel arguments from their description as data. */

import { type KernelArgument, placeKernelArguments } from './argument-list.ts';

/** Writes values into a launch's argument block, by argument name. */
export interface ArgumentWriter<Name extends string> {
  /** Bytes of the block. */
  readonly bytes: number;
  /** Writes every argument: pointers and i64 as bigint, u32 and f32 as number. */
  write(block: DataView, values: Readonly<Record<Name, number | bigint>>): void;
}

/** Makes the writer of an argument list. */
export function argumentWriter<const List extends readonly KernelArgument[]>(
  list: List,
): ArgumentWriter<List[number]['name']> {
  const { placed, bytes } = placeKernelArguments(list);
  return {
    bytes,
    write(block, values) {
      for (const { name, type, offset } of placed) {
        const value = values[name as List[number]['name']];
        if (type === 'u32') block.setUint32(offset, Number(value), true);
        else if (type === 'f32') block.setFloat32(offset, Number(value), true);
        else block.setBigInt64(offset, BigInt.asIntN(64, BigInt(value)), true);
      }
    },
  };
}
