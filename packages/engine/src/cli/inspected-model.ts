/**
 * What `inspect` looks at: the checkpoint of a folder, or one on a hub that is not downloaded.
 */

import {
  type GptOssConfig,
  type GptOssLayout,
  type GptOssWeights,
  locateModel,
  ModelNotFoundError,
  openSnapshot,
} from '@switchyard/models';

/** A checkpoint's shape, and where it was found. */
export interface InspectedModel {
  /** The folder; of a model that is on a hub alone, its name there. */
  readonly path: string;
  readonly layout: GptOssLayout;
  readonly config: GptOssConfig;
  readonly weights: GptOssWeights;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
  /** Bytes that are to be downloaded first; 0 for a folder. */
  readonly downloadBytes: number;
}

/**
 * Gives a model to `use`: the embedded one where none is named, a folder, a name in the cache, and else what the hub tells
 * of that name.
 *
 * @throws ModelNotFoundError for what is no name either; the errors of openSnapshot and readRemoteCheckpoint
 */
export async function withInspectedModel(
  model: string | undefined,
  use: (found: InspectedModel) => Promise<void>,
): Promise<void> {
  const path = model === undefined ? undefined : pathOrNull(model);
  if (path !== null) {
    using snapshot = await openSnapshot(path, { encoder: 'when-needed' });
    await use({ ...snapshot, downloadBytes: 0 });
    return;
  }
  // Loaded when asked for: a model that is here needs no HTTP client.
  const { readRemoteCheckpoint } = await import('@switchyard/models/hub');
  const { name, ...remote } = await readRemoteCheckpoint(model ?? '');
  await use({ ...remote, path: name });
}

/** The folder of a model; null for one that only a hub can have. */
function pathOrNull(model: string): string | null {
  try {
    return locateModel(model).path;
  } catch (error) {
    if (error instanceof ModelNotFoundError && error.pulled !== null) return null;
    throw error;
  }
}
