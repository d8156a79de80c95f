import type { GptOssConfig } from '@switchyard/models';

/** Each layer's number among those of its kind, which share KV blocks. */
export function kvLayerNumbers({ layerTypes }: Pick<GptOssConfig, 'layerTypes'>): number[] {
  return layerTypes.map((type, layer) => layerTypes.slice(0, layer).filter((other) => other === type).length);
}
