/** The dispatch plan's WGSL for one configuration. */

import { expandParts } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { PLAN_PARTS } from './source.ts';

/** Slots that one workgroup sorts. */
export const PLAN_BLOCK = 1024;
/** Invocations that sort a block. */
const WORKGROUP_SIZE = 256;

/** Generates the WGSL of the entry points `plan_single`, `plan_count`, `plan_scan` and `plan_place`. */
export function planShader(config: ResolvedRouterConfig): string {
  return expandParts(PLAN_PARTS, {
    repeats: 0,
    flags: {},
    texts: {
      EXPERTS: config.experts,
      WORDS_PER_ID: config.idsDtype === 'i64' ? 2 : 1,
      WORKGROUP_SIZE,
      BLOCK: PLAN_BLOCK,
    },
  });
}
