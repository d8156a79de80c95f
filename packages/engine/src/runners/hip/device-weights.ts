/**
 * A model's weights on a device.
 */

import type { DeviceBuffer, DevicePointer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type { GptOssWeights } from '@switchyard/models';
import { tensorByteLength } from '@switchyard/models';
import type { LoadingStep } from '../load-plan.ts';
import { allocateParts } from './buffer-parts.ts';
import { type LayerParts, type OuterParts, type WeightPart, modelParts } from './weight-layout.ts';
import { type WeightTransfer, WeightUploader } from './weight-uploader.ts';

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
  const uploader = new WeightUploader(driver, stream, (progress) =>
    onProgress({ ...progress, totalBytes, sessionMs: 0 }),
  );
  const buffers: DeviceBuffer[] = [];
  const free = (): void => {
    for (const buffer of buffers.splice(0)) buffer.free();
  };
  const place = <Name extends string>(
    parts: Readonly<Record<Name, WeightPart>>,
  ): Readonly<Record<Name, DevicePointer>> => {
    const { buffer, at } = allocateParts(driver, parts, ({ bytes }) => bytes);
    buffers.push(buffer);
    return at;
  };
  try {
    const placed: LayerWeights[] = [];
    const outerWeights = place(outer);
    await uploader.upload(
      (function* (): Generator<WeightTransfer> {
        yield* transfersOf('head', outer, outerWeights);
        for (const [index, parts] of layers.entries()) {
          const at = place(parts);
          placed.push(at);
          const what = `layer ${index + 1} of ${layers.length}`;
          yield* transfersOf(what, parts, at, {
            gateUpCodes: () => arrange(at.gateUpCodes, parts.gateUpCodes.bytes / 4),
            downCodes: () => arrange(at.downCodes, parts.downCodes.bytes / 4),
          });
        }
      })(),
    );
    await stream.synchronize();
    return { outer: outerWeights, layers: placed, free };
  } catch (error) {
    // Copies under way read the page-locked memory; a device that is lost copies nothing.
    await stream.synchronize().catch(() => undefined);
    free();
    throw error;
  } finally {
    uploader.release();
  }
}

/** @param sent what to do when all of a part is enqueued, by its name. */
function* transfersOf<Name extends string>(
  what: string,
  parts: Readonly<Record<Name, WeightPart>>,
  at: Readonly<Record<Name, DevicePointer>>,
  sent?: Readonly<Partial<Record<Name, () => void>>>,
): Generator<WeightTransfer> {
  for (const name in parts) yield { part: parts[name], destination: at[name], what, sent: sent?.[name] };
}

function tensorBytes(parts: readonly WeightPart[]): number {
  return parts.reduce(
    (total, { tensors }) => total + tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0),
    0,
  );
}
