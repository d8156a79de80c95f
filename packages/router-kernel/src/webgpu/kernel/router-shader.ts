/** The router's WGSL for one configuration and launch geometry: its parts, filled in. */

import { expandParts } from '@switchyard/gpu/webgpu';
import type { TemplateValues } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { flagsOf, textsOf } from './router-values.ts';
import type { RouterShaderOptions } from './router-values.ts';
import { ROUTER_PARTS, ROUTER_STEPS } from './source.ts';
import type { ConditionalPart } from './source.ts';
import { slotsPerLane } from './stores.ts';

export type { RouterShaderOptions } from './router-values.ts';

/** Generates the WGSL of the entry point `route`. */
export function routerShader(config: ResolvedRouterConfig, options: RouterShaderOptions): string {
  const flags = flagsOf(config, options);
  const repeats = slotsPerLane(config, options.geometry);
  const join = (parts: readonly ConditionalPart[], texts: TemplateValues['texts']): string => {
    const chosen = parts.filter(({ when }) => when === undefined || flags[when]).map(({ part }) => part);
    return expandParts(chosen, { flags, repeats, texts });
  };
  const texts = textsOf(config, options);
  const steps = Object.entries(ROUTER_STEPS).map(([name, parts]) => [name, join(parts, texts)] as const);
  return join(ROUTER_PARTS, { ...texts, ...Object.fromEntries(steps) }).replaceAll(/\n{3,}/g, '\n\n');
}
