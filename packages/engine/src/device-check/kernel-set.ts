/**
 * What a check's result is remembered for: a device, its driver, what compiles its kernels, and the kernels with their
 * sizes. Whatever of it changes makes another key.
 */

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type GpuDeviceInfo, openNvrtc, sharedPart } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import type { Activations } from '../runners/runner-module.ts';

/** Kernels' texts, and the lists of objects that were compiled ahead of time, which have their checksums. */
const KERNEL_FILE = /\.hip$|^manifest\.json$/;

/** What a device runs. */
export interface KernelSetOptions {
  readonly info: GpuDeviceInfo;
  /** The model whose sizes are compiled into the kernels. */
  readonly config: GptOssConfig;
  readonly activations: Activations;
}

/** The key of a set of kernels on a device: 64 hexadecimal digits. Throws where kernels' files cannot be read. */
export function kernelSetKey({ info, config, activations }: KernelSetOptions): string {
  const { platform, name, architecture, multiprocessors, driverVersion } = info;
  // hipRTC is of one installation with the runtime, and of its version.
  const compiler = platform === 'nvidia' ? openNvrtc().version : '';
  const parts = [
    platform,
    name,
    architecture,
    multiprocessors,
    driverVersion,
    compiler,
    kernelsHash(),
    config,
    activations,
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

let hash: string | undefined;

/** Of every file that kernels of the runner and its router are made of. They do not change while a process runs. */
function kernelsHash(): string {
  hash ??= hashOf([
    dirname(fileURLToPath(sharedPart('platform'))),
    join(dirname(createRequire(import.meta.url).resolve('@switchyard/router-kernel/package.json')), 'kernels'),
    fileURLToPath(new URL('../../kernels/hip', import.meta.url)),
  ]);
  return hash;
}

function hashOf(folders: readonly string[]): string {
  const sum = createHash('sha256');
  for (const folder of folders) {
    for (const file of kernelFiles(folder)) {
      const content = readFileSync(join(folder, file));
      sum.update(`${file}:${content.length}:`).update(content);
    }
  }
  return sum.digest('hex');
}

/** Paths in a folder, in an order of their own. */
function kernelFiles(folder: string): readonly string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && KERNEL_FILE.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  return files.sort();
}
