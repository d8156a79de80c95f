import type { ResolvedRouterConfig, RouterConfig } from '../src/contract.ts';

/** A resolved configuration as one to make another router with. */
export function asConfig({ correctionBias, expertTiles, ...config }: ResolvedRouterConfig): RouterConfig {
  return {
    ...config,
    ...(correctionBias !== null && { correctionBias }),
    ...(expertTiles !== null && { expertTiles }),
  };
}
