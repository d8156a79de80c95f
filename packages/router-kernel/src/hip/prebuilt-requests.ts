/** What the archives of shipped code objects consist of. */

import { listKernels } from '@switchyard/gpu';
import type { KernelTarget } from '@switchyard/gpu';
import type { ArchiveRequest, ObjectRequest } from '@switchyard/gpu/offline';
import type { GateShape } from '../gate/gate-contract.ts';
import { DeviceGatedRoute } from './device-gated-route.ts';
import type { KernelForm } from './kernel/forms.ts';
import {
  formsOfConfigs,
  PREBUILT_FAMILIES,
  PREBUILT_TARGETS,
  publishedConfigs,
  publishedGates,
  publishedTileConfigs,
  sourceOfForms,
} from './kernel/prebuilt-kernels.ts';
import { isKernelSource } from './kernel/source.ts';

type Form = Pick<KernelForm, 'symbol' | 'source' | 'defines'>;

/** Requests for every architecture: an object for all routers, one for those with tiles, one for each gate. */
export async function prebuiltRequests(): Promise<readonly ArchiveRequest[]> {
  const architectures = new Map<string, KernelTarget>();
  for (const target of [...PREBUILT_TARGETS, ...PREBUILT_FAMILIES]) architectures.set(target.architecture, target);
  return Promise.all(
    [...architectures.values()].map(async (target) => {
      const { architecture } = target;
      const isOf = (targets: readonly KernelTarget[]): boolean =>
        targets.some((one) => one.architecture === architecture);
      return {
        architecture,
        objects: [
          ...(isOf(PREBUILT_TARGETS) ? [requestOf('routers', formsOfConfigs(publishedConfigs(), target))] : []),
          ...(isOf(PREBUILT_FAMILIES) ? [tilesRequest(target), ...(await gateRequests(target))] : []),
        ],
      };
    }),
  );
}

function requestOf(name: string, forms: readonly Form[]): ObjectRequest {
  return { name, source: sourceOfForms(forms), keys: forms.map(({ symbol }) => symbol) };
}

/** The kernels that routers with tiles load beside those of others. */
function tilesRequest(target: KernelTarget): ObjectRequest {
  const others = new Set(formsOfConfigs(publishedConfigs(), target).map(({ symbol }) => symbol));
  const forms = formsOfConfigs(publishedTileConfigs(), target).filter(({ symbol }) => !others.has(symbol));
  return requestOf('routers with tiles', forms);
}

/** A request for each matrix of a gate, with what gated routers that have it load beside the routers. */
async function gateRequests(target: KernelTarget): Promise<readonly ObjectRequest[]> {
  const byName = new Map<string, Map<string, Form>>();
  for (const shape of publishedGates()) {
    const name = `gates of ${shape.router.experts} experts, H = ${shape.hiddenSize}`;
    const forms = byName.get(name) ?? new Map<string, Form>();
    for (const form of await gateForms(shape, target)) forms.set(form.symbol, form);
    byName.set(name, forms);
  }
  return [...byName].map(([name, forms]) => requestOf(name, [...forms.values()]));
}

/** The kernels with a gate projection that a gated router loads ahead of time. */
async function gateForms(shape: GateShape, target: KernelTarget): Promise<readonly Form[]> {
  const gate = { weight: 0n, bias: 0n, correctionBias: 0n };
  const listed = await listKernels(target, async (driver, library) => {
    const route = await DeviceGatedRoute.create({ driver, library, shape, gate });
    await route.prepareAll();
  });
  return listed.flatMap(({ unit: { name, defines }, symbol }) => {
    if (!isKernelSource(name)) throw new RangeError(`There is no kernel source ${name}.`);
    return name.startsWith('gate') ? [{ symbol, source: name, defines }] : [];
  });
}
