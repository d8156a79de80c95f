/**
 * Reading memory and nothing else, to measure how fast a device can.
 */

import { type KernelContext, type KernelForm, kernelForm, pointer, u32 } from './kernel-form.ts';

const ARGUMENTS = [
  pointer('memory', '16 * pieces bytes'),
  pointer('found', 'u32, hardly ever written'),
  u32('pieces', 'pieces of 16 bytes'),
  u32('blocks', 'blocks of the launch'),
] as const;

export function readMemoryForm(context: KernelContext): KernelForm<typeof ARGUMENTS> {
  return kernelForm(context, {
    name: 'read_memory',
    symbol: 'read_memory',
    arguments: ARGUMENTS,
    threadsPerBlock: 256,
  });
}
