/**
 * GPT-OSS checkpoints: file formats, tokenizer, configuration and harmony. Reads files and runs nothing.
 */

export { openCheckpointTensors, type CheckpointTensors } from './files/checkpoint-tensors.ts';
export * from './errors.ts';
export { locateModel, type LocatedModel } from './hub/locate-model.ts';
export { ModelNotFoundError } from './hub/errors.ts';
export type { GenerationConfig } from './generation-config.ts';
export { parseGptOssConfig, type GptOssConfig, type GptOssLayout, type ParsedGptOssConfig } from './gpt-oss/config.ts';
export { gptOssTensorTable, type TensorSpecification } from './gpt-oss/tensors.ts';
export * from './gpt-oss/harmony/index.ts';
export type { GptOssLayerWeights, GptOssWeights } from './gpt-oss/weights.ts';
export { decodeFloats, FLOAT_DTYPES, readFloats } from './tensors/floats.ts';
export { decodeBf16, decodeF16 } from './tensors/half-precision.ts';
export {
  decodeMxfp4,
  MXFP4_BLOCK,
  MXFP4_BLOCK_BYTES,
  MXFP4_HALF_UNITS,
  mxfp4Expert,
} from './tensors/mxfp4.ts';
export type { TokenizerData } from './tokenizer/read-tokenizer.ts';
export { openSafetensors, type SafetensorsFile, type SafetensorsOptions } from './files/safetensors.ts';
export {
  embeddedCheckpointPath,
  embeddedReferencePath,
  openSnapshot,
  type Snapshot,
  type SnapshotOptions,
} from './snapshot.ts';
export type { Bf16ExpertTensor, ExpertTensor, Mxfp4Tensor, Tensor, TensorDtype } from './tensors/tensor.ts';
export { elementCount, readTensorBytes, readTensorBytesAsync, tensorByteLength } from './tensors/tensor-bytes.ts';
export { rowsOf } from './tensors/tensor-rows.ts';
export { TokenStreamDecoder } from './tokenizer/token-stream-decoder.ts';
export { createTokenizer, type Tokenizer, type TokenizerOptions } from './tokenizer/tokenizer.ts';
