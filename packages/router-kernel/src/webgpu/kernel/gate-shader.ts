/** The gate projection's WGSL for one shape. */

import { expandParts } from '@switchyard/gpu/webgpu';
import { GATE_PARTIAL_SUMS, GATE_PIECE_COLUMNS } from '../../gate/gate-contract.ts';
import type { GateShape } from '../../gate/gate-contract.ts';
import { GATE_PARTS } from './source.ts';

/** Tokens whose logits of one expert a workgroup forms. */
export const GATE_ROWS = 4;

/** Generates the WGSL of the entry point `project_gate`. */
export function gateShader({ hiddenSize, hiddenDtype, hasGateBias, router }: GateShape): string {
  return expandParts(GATE_PARTS, {
    repeats: 0,
    flags: { GATE_BIAS: hasGateBias, F32: hiddenDtype === 'f32' },
    texts: {
      EXPERTS: router.experts,
      PIECES: hiddenSize / GATE_PIECE_COLUMNS,
      ROWS: GATE_ROWS,
      PARTIAL_SUMS: GATE_PARTIAL_SUMS,
    },
  });
}

/** The workgroups that form the logits of T tokens. */
export function gateWorkgroups({ router }: GateShape, tokens: number): number {
  return router.experts * Math.ceil(tokens / GATE_ROWS);
}
