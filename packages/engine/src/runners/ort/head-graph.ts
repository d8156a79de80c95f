import { rowsOf } from '@switchyard/models';
import type { GptOssConfig, GptOssWeights } from '@switchyard/models';
import type { DenseForm } from './expert-form.ts';
import { GraphBuilder } from './graph.ts';
import { linear } from './linear-node.ts';
import { normalize } from './norm-nodes.ts';

/** The sizes of the head. */
export type HeadShape = Pick<GptOssConfig, 'vocabularySize' | 'hiddenSize' | 'rmsNormEpsilon'>;

/** Tokens `first` to `end` - 1 of the vocabulary. */
export interface VocabularyRange {
  readonly first: number;
  readonly end: number;
}

/**
 * After the last layer, for the rows whose logits are wanted: final norm, LM head. Only the logits of a part of the
 * vocabulary: ONNX Runtime takes no constant of 2^31 bytes.
 */
export function headGraph(
  config: HeadShape,
  { finalNorm, lmHead }: Pick<GptOssWeights, 'finalNorm' | 'lmHead'>,
  { first, end }: VocabularyRange,
  form: DenseForm,
): GraphBuilder {
  const graph = new GraphBuilder('head');
  const residual = graph.input('residual', 'float32', ['tokens', config.hiddenSize]);
  const normalized = normalize(graph, config, residual, finalNorm, 'finalNorm');
  const logits = linear(graph, normalized, 'lmHead', [rowsOf(lmHead, first, end, `${first} to ${end}`)], form);
  graph.output('logits', logits, 'float32', ['tokens', end - first]);
  return graph;
}

/** The vocabulary in equal parts of at most `mostBytes` of weights each. */
export function headParts(
  { vocabularySize, hiddenSize }: Pick<HeadShape, 'vocabularySize' | 'hiddenSize'>,
  form: DenseForm,
  mostBytes: number,
): VocabularyRange[] {
  const rowBytes = hiddenSize * (form === 'f32' ? 4 : 1 + 4 / 32);
  const parts = Math.ceil(vocabularySize / Math.max(1, Math.floor(mostBytes / rowBytes)));
  const size = Math.ceil(vocabularySize / parts);
  return Array.from({ length: Math.ceil(vocabularySize / size) }, (_, part) => ({
    first: part * size,
    end: Math.min((part + 1) * size, vocabularySize),
  }));
}
