/** Every kernel that the GPU runner loads, and kernels as a compiler that is not there would see them. */

import type { KernelArgument } from '@switchyard/gpu';
import { attentionForm } from '../../../src/runners/hip/attention-kernels.ts';
import { adjustForm, drawForm, largestForm, maskForm } from '../../../src/runners/hip/choice-kernels.ts';
import { GATE_TILES, denseForms, denseTiles, gateForm } from '../../../src/runners/hip/dense-kernels.ts';
import { splitForms, termForms, termTiles } from '../../../src/runners/hip/dense-terms.ts';
import { embeddingForm } from '../../../src/runners/hip/embedding-kernel.ts';
import {
  arrangeCodesForm,
  combineForm,
  listedExpertForms,
  slotExpertForms,
} from '../../../src/runners/hip/expert-kernels.ts';
import { readMemoryForm } from '../../../src/runners/hip/read-kernel.ts';
import type { KernelContext, KernelForm } from '../../../src/runners/hip/kernel-form.ts';
import { expertTileForms, expertTiles } from '../../../src/runners/hip/expert-tile-kernels.ts';
import { splitTermsOf } from '../../../src/runners/hip/sizes.ts';
import { commonTileForms, hasMatrixUnits, termTileForms } from '../../../src/runners/hip/tile-kernels.ts';

type Forms = ReadonlyMap<string, KernelForm<readonly KernelArgument[]>>;

/** All forms for a model and a target, by what they are called in messages. */
export function allForms(model: Omit<KernelContext, 'kv'>): Forms {
  const forms = new Map(formsOf({ ...model, kv: 'int16' }));
  for (const [name, form] of formsOf({ ...model, kv: 'f32' })) {
    if (form.unit.source().includes('kKvBlockElements')) forms.set(`${name}, keys and values in f32`, form);
  }
  return forms;
}

function formsOf(context: KernelContext): Forms {
  const forms = new Map<string, KernelForm<readonly KernelArgument[]>>();
  const add = (form: KernelForm<readonly KernelArgument[]>, tile?: number): void => {
    forms.set(tile === undefined ? form.unit.name : `${form.unit.name}, tiles of ${tile}`, form);
  };
  const addInTerms = (terms: Readonly<Record<string, KernelForm<readonly KernelArgument[]>>>, count: number): void => {
    for (const form of Object.values(terms)) forms.set(`${form.unit.name}, terms ${count}`, form);
  };
  add(embeddingForm(context));
  add(attentionForm(context));
  for (const tile of denseTiles(context)) for (const form of Object.values(denseForms(context, tile))) add(form, tile);
  for (const tile of termTiles(context)) {
    for (const [name, form] of Object.entries(termForms(context, tile)))
      forms.set(`${name} of terms, tiles of ${tile}`, form);
  }
  if (termTiles(context).length > 0) {
    for (const [name, form] of Object.entries(splitForms(context))) forms.set(`split rows ${name}`, form);
  }
  for (const tile of GATE_TILES) add(gateForm(context, tile), tile);
  for (const form of Object.values(slotExpertForms(context))) add(form);
  for (const form of Object.values(listedExpertForms(context))) add(form);
  if (hasMatrixUnits(context.target)) {
    const split = splitTermsOf(context.kv, context.target.vendor);
    addInTerms({ ...commonTileForms(context) }, split);
    for (const terms of context.kv === 'int16' ? ([1, split] as const) : [split]) {
      addInTerms({ ...termTileForms(context, terms) }, terms);
      for (const tile of expertTiles(context)) {
        for (const form of Object.values(expertTileForms(context, terms, tile))) {
          forms.set(`${form.unit.name}, terms ${terms}, ${tile} slots`, form);
        }
      }
    }
  }
  for (const form of [
    combineForm(context),
    adjustForm(context),
    maskForm(context),
    largestForm(context),
    drawForm(context),
    arrangeCodesForm(context),
    readMemoryForm(context),
  ]) {
    add(form);
  }
  return forms;
}
