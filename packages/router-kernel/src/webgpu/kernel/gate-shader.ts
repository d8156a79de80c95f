/** The gate projection's WGSL for one shape. */

import { expandParts } from '@switchyard/gpu/webgpu';
import type { GateShape } from '../../gate/gate-contract.ts';
import { GATE_ROWS, gateFlags, gateTexts } from './gate-values.ts';
import { GATE_PARTS } from './source.ts';

/** Generates the WGSL of the entry point `project_gate`. */
export function gateShader(shape: GateShape): string {
  return expandParts(GATE_PARTS, {
    repeats: 0,
    flags: { ...gateFlags(shape), PLAN: false },
    texts: { ...gateTexts(shape), EXPERTS: shape.router.experts },
  });
}

/** The workgroups that form the logits of T tokens. */
export function gateWorkgroups({ router }: GateShape, tokens: number): number {
  return router.experts * Math.ceil(tokens / GATE_ROWS);
}
