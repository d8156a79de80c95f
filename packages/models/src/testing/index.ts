/**
 * Checkpoints of the published shapes, to test and measure with: what does not need the published weights themselves.
 */

export {
  type CheckpointPlan,
  type PlannedFile,
  type PlannedTensor,
  planPublishedCheckpoint,
  type PublishedCheckpoint,
} from './checkpoint-plan.ts';
export { assignGptOssWeights } from '../gpt-oss/tensors.ts';
export { CHUNK_BYTES, syntheticTensorBytes } from './synthetic-tensors.ts';
export { publishedConfig, type PublishedModel, publishedSizes, publishedSpecialTokens } from './published-models.ts';
export { publishedTokenizerText } from './published-tokenizer.ts';
export {
  safetensorsHeader,
  type SyntheticCheckpointOptions,
  writeSyntheticCheckpoint,
  type WrittenCheckpoint,
} from './write-checkpoint.ts';
