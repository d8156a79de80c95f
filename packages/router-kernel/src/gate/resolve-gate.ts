/** From what a caller writes to the configuration and call arguments of a gated router, every limit checked. */

import type { ResolvedRouteArguments, RouteOptions, RouterConfig } from '../contract.ts';
import { InvalidConfigError } from '../errors.ts';
import { checkRowArguments, resolveRouterConfig, show } from '../resolve-config.ts';
import { isTypedArray, lengthOf } from '../typed-arrays.ts';
import { GATE_PIECE_COLUMNS, MAX_HIDDEN_SIZE } from './gate-contract.ts';
import type {
  GatedRouterConfig,
  GateShape,
  HiddenDtype,
  HiddenStates,
  ResolvedGatedRouterConfig,
} from './gate-contract.ts';

/**
 * Fills in every default and checks every limit. Weights and biases are copied, so that later writes to the caller's
 * arrays change nothing.
 *
 * @throws InvalidConfigError naming the first option that is wrong
 */
export function resolveGatedRouterConfig(config: GatedRouterConfig): ResolvedGatedRouterConfig {
  if (typeof config !== 'object' || config === null) {
    throw new InvalidConfigError(
      'config',
      config,
      `A gated router needs a configuration object · found ${show(config)} · pass one with experts, topK, hiddenSize and gateWeight`,
    );
  }
  if ('logitsDtype' in config) {
    const message = 'The logits of a gated router are f32 · found logitsDtype, which is no option of it · leave it out';
    throw new InvalidConfigError('logitsDtype', config.logitsDtype, message);
  }
  const router = resolveRouterConfig(routerConfigOf(config));
  const { hiddenSize, hiddenDtype = 'bf16', gateWeight, gateBias } = config;
  if (
    !Number.isInteger(hiddenSize) ||
    hiddenSize < GATE_PIECE_COLUMNS ||
    hiddenSize > MAX_HIDDEN_SIZE ||
    hiddenSize % GATE_PIECE_COLUMNS !== 0
  ) {
    throw new InvalidConfigError(
      'hiddenSize',
      hiddenSize,
      `hiddenSize (the columns of a hidden state, H) must be a multiple of ${GATE_PIECE_COLUMNS} from ${GATE_PIECE_COLUMNS} to ${MAX_HIDDEN_SIZE} · found ${show(hiddenSize)} · pad hidden states and gateWeight with zeros`,
    );
  }
  if (hiddenDtype !== 'bf16' && hiddenDtype !== 'f32') {
    const message = `hiddenDtype must be one of 'bf16', 'f32' · found ${show(hiddenDtype)} · choose one, or leave it out`;
    throw new InvalidConfigError('hiddenDtype', hiddenDtype, message);
  }
  const elements = router.experts * hiddenSize;
  if (!isTypedArray(gateWeight, 'Uint16Array') || lengthOf(gateWeight, 2) !== elements) {
    throw new InvalidConfigError(
      'gateWeight',
      gateWeight,
      `gateWeight must be a Uint16Array with the bits of ${router.experts} rows of ${hiddenSize} bf16 numbers, ${elements} elements · found ${show(gateWeight)} · pass the checkpoint's gate projection, row by row`,
    );
  }
  if (gateBias !== undefined && (!isTypedArray(gateBias, 'Float32Array') || lengthOf(gateBias, 4) !== router.experts)) {
    throw new InvalidConfigError(
      'gateBias',
      gateBias,
      `gateBias must be a Float32Array with one value for each of the ${router.experts} experts · found ${show(gateBias)} · pass the checkpoint's, or leave it out`,
    );
  }
  return Object.freeze({
    hiddenSize,
    hiddenDtype,
    hasGateBias: gateBias !== undefined,
    router,
    gateWeight: new Uint16Array(gateWeight),
    gateBias: gateBias === undefined ? null : new Float32Array(gateBias),
  });
}

/** The configuration of the router behind the gate. */
export function routerConfigOf(config: GatedRouterConfig): RouterConfig {
  const { hiddenSize: _, hiddenDtype: __, gateWeight: ___, gateBias: ____, ...router } = config;
  return { ...router, logitsDtype: 'f32' };
}

/** A configuration without the values of the gate. */
export function gateShapeOf({ hiddenSize, hiddenDtype, hasGateBias, router }: ResolvedGatedRouterConfig): GateShape {
  return Object.freeze({ hiddenSize, hiddenDtype, hasGateBias, router });
}

/** Bytes of one element of a hidden state. */
export function hiddenBytes(dtype: HiddenDtype): 2 | 4 {
  return dtype === 'f32' ? 4 : 2;
}

/**
 * Checks the arguments of one `route` call against the configuration and fills in their defaults.
 *
 * @throws InvalidArgumentError naming the first argument that is wrong
 */
export function checkGatedRouteArguments(
  { hiddenSize, hiddenDtype, router }: GateShape,
  hidden: HiddenStates,
  options?: RouteOptions,
): ResolvedRouteArguments {
  const rows = {
    argument: 'hidden',
    content: 'hidden states',
    dtypeOption: 'hiddenDtype',
    columns: hiddenSize,
    columnsName: 'the hidden size',
    dtype: hiddenDtype,
    topK: router.topK,
  };
  return checkRowArguments(rows, hidden, options);
}
