/** The configuration of a GPT-OSS model, read from either published layout. */
export interface GptOssConfig {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Positions that a sliding-window layer sees, the token itself included. */
  readonly slidingWindow: number;
  /** One entry a layer. */
  readonly layerTypes: readonly ('sliding' | 'full')[];
  /** The clamp of the SwiGLU's gate and up halves. */
  readonly swigluLimit: number;
  readonly rmsNormEpsilon: number;
  readonly rope: {
    readonly theta: number;
    readonly yarn: {
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContextLength: number;
      readonly truncate: boolean;
    } | null;
  };
  /** The longest sequence, in tokens. */
  readonly contextLength: number;
  readonly tieWordEmbeddings: boolean;
  /** How the expert weights are stored. */
  readonly expertFormat: 'mxfp4' | 'bf16';
}
