/**
 * A model's weights on a device.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DeviceBuffer, DevicePointer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type { GptOssWeights } from '@switchyard/models';
import { tensorByteLength } from '@switchyard/models';
import type { LoadingStep } from '../load-plan.ts';
import { allocateParts } from './buffer-parts.ts';
import { type LayerParts, type OuterParts, type WeightPart, modelParts } from './weight-layout.ts';
import { WeightUploader } from './weight-uploader.ts';

type Addresses<Parts> = { readonly [Name in keyof Parts]: DevicePointer };
export type LayerWeights = Addresses<LayerParts>;
export type OuterWeights = Addresses<OuterParts>;

/** Addresses of all weights. */
export interface DeviceWeights {
  readonly outer: OuterWeights;
  readonly layers: readonly LayerWeights[];
  free(): void;
}

/** Enqueues what brings codes of MXFP4, `words` words of eight, into the order of the kernels. */
export type ArrangeCodes = (codes: DevicePointer, words: number) => void;

/**
 * Loads a checkpoint, the head first: it is the largest part, and what cannot be loaded is best known early.
 *
 * @param onProgress called after every piece of some megabytes. What it throws ends the load.
 * @throws UnsupportedWeightsError, OutOfDeviceMemoryError, DeviceError, and what reading a tensor throws
 */
export async function loadWeights(
  driver: GpuDriver,
  stream: GpuStream,
  weights: GptOssWeights,
  arrange: ArrangeCodes,
  onProgress: (step: LoadingStep) => void,
): Promise<DeviceWeights> {
  const { outer, layers } = modelParts(weights);
  const totalBytes = [outer, ...layers].reduce((total, parts) => total + tensorBytes(Object.values(parts)), 0);
  let what = 'head';
  const uploader: WeightUploader = new WeightUploader(driver, stream, () => {
    const { doneBytes, readMs, convertMs } = uploader;
    onProgress({ what, doneBytes, totalBytes, readMs, convertMs, sessionMs: 0 });
  });
  const buffers: DeviceBuffer[] = [];
  const free = (): void => {
    for (const buffer of buffers.splice(0)) buffer.free();
  };
  const load = async <Name extends string>(
    parts: Readonly<Record<Name, WeightPart>>,
  ): Promise<Readonly<Record<Name, DevicePointer>>> => {
    const { buffer, at } = allocateParts(driver, parts, ({ bytes }) => bytes);
    buffers.push(buffer);
    for (const name in parts) await uploader.write(parts[name], at[name]);
    // Lets the thread hear that it is to stop.
    await nextTurn();
    return at;
  };
  try {
    const outerWeights = await load(outer);
    const loaded: LayerWeights[] = [];
    for (const [index, parts] of layers.entries()) {
      what = `layer ${index + 1} of ${layers.length}`;
      const layer = await load(parts);
      for (const name of ['gateUpCodes', 'downCodes'] as const) arrange(layer[name], parts[name].bytes / 4);
      loaded.push(layer);
    }
    await stream.synchronize();
    return { outer: outerWeights, layers: loaded, free };
  } catch (error) {
    // Copies under way read the page-locked memory; a device that is lost copies nothing.
    await stream.synchronize().catch(() => undefined);
    free();
    throw error;
  } finally {
    uploader.release();
  }
}

function tensorBytes(parts: readonly WeightPart[]): number {
  return parts.reduce(
    (total, { tensors }) => total + tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0),
    0,
  );
}
