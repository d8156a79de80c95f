/**
 * What a checkpoint is, from its config.json and the headers of its tensors, wherever these were read.
 */

import { InvalidConfigError } from './errors.ts';
import type { GptOssConfig, GptOssLayout, ParsedGptOssConfig } from './gpt-oss/config.ts';
import { assignGptOssWeights, storedExpertFormat } from './gpt-oss/tensors.ts';
import type { GptOssWeights } from './gpt-oss/weights.ts';
import { MXFP4_BLOCK } from './tensors/mxfp4.ts';
import type { Tensor } from './tensors/tensor.ts';

/** A checkpoint's shape and its tensors by role. */
export interface CheckpointDescription {
  readonly layout: GptOssLayout;
  readonly config: GptOssConfig;
  readonly weights: GptOssWeights;
}

/** What a description is made of. */
export interface CheckpointParts {
  /** What parseGptOssConfig read. */
  readonly parsed: ParsedGptOssConfig;
  /** Names config.json in errors. */
  readonly configPath: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Names the checkpoint in errors. */
  readonly folder: string;
}

/**
 * Holds tensors against their configuration. No bytes are touched.
 *
 * @throws InvalidConfigError, MissingTensorsError, UnexpectedTensorsError, TensorMismatchError
 */
export function describeCheckpoint({ parsed, configPath, tensors, folder }: CheckpointParts): CheckpointDescription {
  const { layout } = parsed;
  const expertFormat = storedExpertFormat(tensors, layout) ?? parsed.config.expertFormat;
  const config: GptOssConfig = { ...parsed.config, expertFormat };
  checkBlockSizes(config, configPath);
  return { layout, config, weights: assignGptOssWeights(tensors, config, layout, folder) };
}

function checkBlockSizes(config: GptOssConfig, path: string): void {
  if (config.expertFormat !== 'mxfp4') return;
  const sizes = [
    ['hidden_size', config.hiddenSize],
    ['intermediate_size', config.intermediateSize],
  ] as const;
  for (const [field, size] of sizes) {
    if (size % MXFP4_BLOCK !== 0) {
      throw new InvalidConfigError(path, field, size, `a multiple of ${MXFP4_BLOCK}, as MXFP4 blocks need`);
    }
  }
}
