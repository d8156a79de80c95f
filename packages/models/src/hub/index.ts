/**
 * Models by name: finding them in the cache that Hugging Face's tools share, downloading them, and looking at them before.
 */

export * from './errors.ts';
export { hubSettings, type HubSettings } from './hub-settings.ts';
export { locateModel, type LocatedModel } from './locate-model.ts';
export { DEFAULT_REVISION, type ModelName, modelNameText, parseModelName } from './model-name.ts';
export { type PulledModel, pullModel, type PullOptions } from './pull-model.ts';
export type { PullProgress } from './pull-progress.ts';
export { readRemoteCheckpoint, type RemoteCheckpoint, type RemoteCheckpointOptions } from './remote-checkpoint.ts';
