/** The gate projection and the router on the host's CPU. */

import type { RouteOptions } from '../contract.ts';
import { DisposedError } from '../errors.ts';
import type {
  GatedRouter,
  GatedRouterConfig,
  GatedRouterOutput,
  GateShape,
  HiddenStates,
} from '../gate/gate-contract.ts';
import {
  checkGatedRouteArguments,
  gateShapeOf,
  resolveGatedRouterConfig,
  routerConfigOf,
} from '../gate/resolve-gate.ts';
import { CpuRouter } from './cpu-router.ts';
import { GateProjection } from './gate-projection.ts';

/** A gated router on the calling thread. Made by `createCpuGatedRouter`. */
export class CpuGatedRouter implements GatedRouter {
  readonly backend = 'cpu';
  readonly device = 'host CPU';
  readonly config: GateShape;
  readonly #router: CpuRouter;
  #gate: GateProjection | null;

  /** @throws InvalidConfigError */
  constructor(config: GatedRouterConfig) {
    const resolved = resolveGatedRouterConfig(config);
    this.config = gateShapeOf(resolved);
    this.#gate = new GateProjection(resolved);
    this.#router = new CpuRouter(routerConfigOf(config));
  }

  /** See `GatedRouter.route`. The work is done on the calling thread before the promise is returned. */
  async route(hidden: HiddenStates, options?: RouteOptions): Promise<GatedRouterOutput> {
    return this.routeSync(hidden, options);
  }

  /**
   * As `route`, without a promise.
   *
   * @throws InvalidArgumentError, DisposedError
   */
  routeSync(hidden: HiddenStates, options: RouteOptions = {}): GatedRouterOutput {
    if (this.#gate === null) throw new DisposedError('gated router (cpu)');
    const { tokens, rowStride } = checkGatedRouteArguments(this.config, hidden, options);
    const routerLogits = this.#gate.project(hidden, tokens, rowStride);
    const { rowStride: _, ...routing } = options;
    return { ...this.#router.routeSync(routerLogits, { ...routing, tokens }), routerLogits };
  }

  async dispose(): Promise<void> {
    this.#gate = null;
    await this.#router.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Makes a CpuGatedRouter. @throws InvalidConfigError */
export function createCpuGatedRouter(config: GatedRouterConfig): CpuGatedRouter {
  return new CpuGatedRouter(config);
}
