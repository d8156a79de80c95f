/**
 * From what a person calls a model to the folder it is in. Never asks the network.
 */

import { existsSync } from 'node:fs';
import { InvalidModelNameError, ModelNotFoundError } from './errors.ts';
import { HubCache, missingFiles } from './hub-cache.ts';
import { hubCacheFolder } from './hub-settings.ts';
import { type ModelName, modelNameText, parseModelName } from './model-name.ts';

/** Where a model is. */
export interface LocatedModel {
  /** The checkpoint's folder. */
  readonly path: string;
  /** What it is called: the name on the hub; the path where it has none. */
  readonly name: string;
}

/**
 * Finds a model: a folder of that path, else the snapshot of that name (`OWNER/MODEL`, `OWNER/MODEL@REVISION`) in the cache
 * of Hugging Face's tools. What is in a folder is not looked at; a snapshot is one that a download has finished.
 *
 * @param options.cacheFolder default the one of the environment: `HF_HUB_CACHE`, `HF_HOME`
 * @throws ModelNotFoundError with the command that downloads it
 */
export function locateModel(model: string, options: { readonly cacheFolder?: string } = {}): LocatedModel {
  if (existsSync(model)) return { path: model, name: model };
  const name = nameOrNull(model);
  if (name === null) throw new ModelNotFoundError(model, 'there is no such folder', null);
  const { cacheFolder = hubCacheFolder() } = options;
  const snapshot = new HubCache(cacheFolder, name.repository).findSnapshot(name.revision);
  const pulled = modelNameText(name);
  if (snapshot === null) {
    throw new ModelNotFoundError(model, `neither a folder nor a model in ${cacheFolder}`, pulled);
  }
  const { path } = snapshot;
  const missing = missingFiles(path);
  if (missing.length > 0) {
    throw new ModelNotFoundError(model, `its download has not ended: ${path} lacks ${missing.join(', ')}`, pulled);
  }
  return { path, name: pulled };
}

function nameOrNull(text: string): ModelName | null {
  try {
    return parseModelName(text);
  } catch (error) {
    if (!(error instanceof InvalidModelNameError)) throw error;
    return null;
  }
}
