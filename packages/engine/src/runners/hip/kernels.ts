/**
 * All kernels of the runner, loaded.
 */

import { loadLaunch } from '@switchyard/gpu';
import type { KernelArgument, KernelLaunch, KernelLoader, LaunchPreparer } from '@switchyard/gpu';
import type { Activations } from '../runner-module.ts';
import { attentionForm } from './attention-kernels.ts';
import { adjustForm, drawForm, largestForm, maskForm } from './choice-kernels.ts';
import {
  type DenseForms,
  type DenseTile,
  GATE_TILES,
  type GateTile,
  denseForms,
  denseTiles,
  gateForm,
} from './dense-kernels.ts';
import { type SplitForms, type TermForms, type TermTile, splitForms, termForms, termTiles } from './dense-terms.ts';
import { embeddingForm } from './embedding-kernel.ts';
import {
  type ListedExpertForms,
  type SlotExpertForms,
  arrangeCodesForm,
  combineForm,
  listedExpertForms,
  slotExpertForms,
} from './expert-kernels.ts';
import { type ExpertTile, type ExpertTileForms, expertTileForms, expertTiles } from './expert-tile-kernels.ts';
import type { KernelContext, KernelForm } from './kernel-form.ts';
import { type Terms, splitTermsOf } from './sizes.ts';
import {
  type CommonTileForms,
  type TermTileForms,
  commonTileForms,
  hasMatrixUnits,
  termTileForms,
} from './tile-kernels.ts';

type LaunchOf<Form> =
  Form extends KernelForm<infer List extends readonly KernelArgument[]> ? KernelLaunch<List[number]['name']> : never;
type LaunchesOf<Forms> = { readonly [Name in keyof Forms]: LaunchOf<Forms[Name]> };

/** Launches of passes by matrix tiles. */
export interface TileLaunches {
  readonly common: LaunchesOf<CommonTileForms>;
  readonly split: TermTileLaunches;
  /** Null where activations are exact. */
  readonly rounded: TermTileLaunches | null;
}

/** Those of rows in as many terms. */
export interface TermTileLaunches extends LaunchesOf<TermTileForms> {
  readonly experts: Readonly<Record<ExpertTile, LaunchesOf<ExpertTileForms>>>;
}

/** Launches of dense products whose rows come in two terms. */
export interface DenseTermLaunches {
  readonly split: LaunchesOf<SplitForms>;
  readonly products: Readonly<Record<TermTile, LaunchesOf<TermForms>>>;
}

/** Launches by what they compute. */
export interface HipKernels {
  readonly embed: LaunchOf<ReturnType<typeof embeddingForm>>;
  readonly attend: LaunchOf<ReturnType<typeof attentionForm>>;
  /** For the tiles that the target has. */
  readonly dense: Readonly<Record<DenseTile, LaunchesOf<DenseForms>>>;
  /** Null where the target has none of them. */
  readonly denseTerms: DenseTermLaunches | null;
  readonly gate: Readonly<Record<GateTile, LaunchOf<ReturnType<typeof gateForm>>>>;
  readonly slotExperts: LaunchesOf<SlotExpertForms>;
  readonly listedExperts: LaunchesOf<ListedExpertForms>;
  readonly combine: LaunchOf<ReturnType<typeof combineForm>>;
  /** Used while loading. */
  readonly arrangeCodes: LaunchOf<ReturnType<typeof arrangeCodesForm>>;
  readonly adjustLogits: LaunchOf<ReturnType<typeof adjustForm>>;
  readonly maskLogits: LaunchOf<ReturnType<typeof maskForm>>;
  readonly chooseLargest: LaunchOf<ReturnType<typeof largestForm>>;
  readonly drawTokens: LaunchOf<ReturnType<typeof drawForm>>;
  /** Null where the GPU has no matrix units. */
  readonly tiles: TileLaunches | null;
}

/**
 * Loads every kernel; those that are not shipped and were not compiled before on this machine are compiled now, which takes
 * some seconds.
 *
 * @param afterKernel called after every kernel; what it throws ends the loading.
 * @throws KernelCompileError, UnknownArchitectureError, GpuLibraryNotFoundError, DeviceError
 */
export async function loadKernels(
  driver: LaunchPreparer,
  library: KernelLoader,
  context: KernelContext,
  activations: Activations,
  afterKernel: () => void = () => {},
): Promise<HipKernels> {
  const load = async <List extends readonly KernelArgument[]>(
    form: KernelForm<List>,
  ): Promise<KernelLaunch<List[number]['name']>> => {
    const launch = await loadLaunch(driver, library, { ...form, overlapsKernelBefore: true });
    afterKernel();
    return launch;
  };
  const loadEach = async <Forms extends object>(forms: Forms): Promise<LaunchesOf<Forms>> => {
    const entries: readonly [string, KernelForm<readonly KernelArgument[]>][] = Object.entries(forms);
    const launches: Partial<Record<string, KernelLaunch<string>>> = {};
    for (const [name, form] of entries) launches[name] = await load(form);
    return launches as LaunchesOf<Forms>;
  };
  const loadTerms = async (terms: Terms): Promise<TermTileLaunches> => {
    const many = await loadEach(expertTileForms(context, terms, 'many'));
    const few = expertTiles(context).includes('few') ? await loadEach(expertTileForms(context, terms, 'few')) : many;
    return { ...(await loadEach(termTileForms(context, terms))), experts: { few, many } };
  };
  return {
    embed: await load(embeddingForm(context)),
    attend: await load(attentionForm(context)),
    dense: await byTile(denseTiles(context), (tile) => loadEach(denseForms(context, tile))),
    denseTerms:
      termTiles(context).length === 0
        ? null
        : {
            split: await loadEach(splitForms(context)),
            products: await byTile(termTiles(context), (tile) => loadEach(termForms(context, tile))),
          },
    gate: await byTile(GATE_TILES, (tile) => load(gateForm(context, tile))),
    slotExperts: await loadEach(slotExpertForms(context)),
    listedExperts: await loadEach(listedExpertForms(context)),
    combine: await load(combineForm(context)),
    arrangeCodes: await load(arrangeCodesForm(context)),
    adjustLogits: await load(adjustForm(context)),
    maskLogits: await load(maskForm(context)),
    chooseLargest: await load(largestForm(context)),
    drawTokens: await load(drawForm(context)),
    tiles: hasMatrixUnits(context.target)
      ? {
          common: await loadEach(commonTileForms(context)),
          split: await loadTerms(splitTermsOf(context.kv, context.target.vendor)),
          rounded: activations === 'exact' ? null : await loadTerms(1),
        }
      : null,
  };
}

/** Loads the kernels of slots that do not route by themselves. */
export async function loadRoutedSlotExperts(
  driver: LaunchPreparer,
  library: KernelLoader,
  context: KernelContext,
): Promise<HipKernels['slotExperts']> {
  const { gateUp, down } = slotExpertForms(context, false);
  return {
    gateUp: await loadLaunch(driver, library, { ...gateUp, overlapsKernelBefore: true }),
    down: await loadLaunch(driver, library, { ...down, overlapsKernelBefore: true }),
  };
}

async function byTile<Tile extends number, Loaded>(
  tiles: readonly Tile[],
  load: (tile: Tile) => Promise<Loaded>,
): Promise<Readonly<Record<Tile, Loaded>>> {
  const loaded: Partial<Record<Tile, Loaded>> = {};
  for (const tile of tiles) loaded[tile] = await load(tile);
  return loaded as Record<Tile, Loaded>;
}
