/** What the parts of the gate projection are filled with, and how its parameters lie in memory. */

import type { ResolvedRouterConfig } from '../../contract.ts';
import { GATE_PARTIAL_SUMS, GATE_PIECE_COLUMNS } from '../../gate/gate-contract.ts';
import type { GateShape } from '../../gate/gate-contract.ts';

/** Tokens whose logits of one expert a workgroup forms. */
export const GATE_ROWS = 4;

/** Numbers in a vector of the parameters. */
const NUMBERS_PER_VECTOR = 4;

/** Where the parameters of a gate begin in their one buffer, behind the weight, in vectors of 16 bytes. */
export interface ParameterStarts {
  readonly gateBias: number;
  readonly correctionBias: number;
  /** All of it. */
  readonly vectors: number;
}

/** Lays the parameters out. They share a buffer because WebGPU binds no more than eight of them everywhere. */
export function parameterStarts({ hiddenSize, hasGateBias, router }: GateShape): ParameterStarts {
  const biasVectors = Math.ceil(router.experts / NUMBERS_PER_VECTOR);
  const gateBias = (router.experts * hiddenSize) / GATE_PIECE_COLUMNS;
  const correctionBias = gateBias + (hasGateBias ? biasVectors : 0);
  return { gateBias, correctionBias, vectors: correctionBias + (router.correctionBias === null ? 0 : biasVectors) };
}

/** What the parts ask with `#if`. */
export function gateFlags({ hasGateBias, hiddenDtype }: GateShape) {
  return { GATE_BIAS: hasGateBias, HIDDEN_F32: hiddenDtype === 'f32' };
}

/** What the parts have in double braces. */
export function gateTexts(shape: GateShape): Readonly<Record<string, string | number>> {
  return {
    PIECES: shape.hiddenSize / GATE_PIECE_COLUMNS,
    ROWS: GATE_ROWS,
    PARTIAL_SUMS: GATE_PARTIAL_SUMS,
    GATE_BIASES: parameterStarts(shape).gateBias,
  };
}

/** The expression of an expert's correction bias: in a buffer of its own, or among the gate's parameters. */
export function correctionBiasOf({ correctionBias }: ResolvedRouterConfig, gate: GateShape | undefined): string {
  if (correctionBias === null || gate === undefined) return 'correction_bias[expert]';
  return `gate_parameter(${parameterStarts(gate).correctionBias}u, expert)`;
}
