/** Calls `createRouter` in a process of its own, whose packages, drivers and environment are the test's choice. */

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { unpackSwiftShader } from '@switchyard/gpu/webgpu';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));
const GPU = fileURLToPath(new URL('../../../gpu/', import.meta.url));
const DISGUISE = new URL('./observed-device.ts', import.meta.url).href;
const PROGRAM = `
  const [built, request, disguise] = process.argv.slice(1);
  if (disguise !== 'null') {
    const { openDawn } = await import('@switchyard/gpu/webgpu');
    const { disguiseAdapter } = await import('${DISGUISE}');
    disguiseAdapter(await openDawn(false), JSON.parse(disguise));
  }
  const { createRouter } = await import(built + 'create-router.js');
  const said = [];
  const logger = { info: (message) => said.push(message) };
  try {
    const router = await createRouter({ experts: 8, topK: 2, logger, ...JSON.parse(request) });
    const { ids } = await router.route(Float32Array.of(3, 1, 4, 1, 5, 9, 2, 6));
    await router.dispose();
    console.log(JSON.stringify({ said, backend: router.backend, device: router.device, ids: [...ids] }));
  } catch (error) {
    const { name, code, backend, message, tried, option } = error;
    console.log(JSON.stringify({ said, error: { name, code, backend, message, tried, option } }));
  }`;

/** What came of `createRouter`. */
export interface RouterOutcome {
  /** What the logger heard at level info. */
  readonly said: readonly string[];
  /** What was written to standard error. */
  readonly err: string;
  readonly backend?: string;
  readonly device?: string;
  /** Of one row whose best experts are 5 and 7. */
  readonly ids?: readonly number[];
  readonly error?: {
    readonly name: string;
    readonly code: string;
    readonly backend?: string;
    readonly message: string;
    readonly tried?: readonly string[];
    readonly option?: string;
  };
}

/** Environment variables that hide every GPU. */
export const NO_GPU: Readonly<Record<string, string>> = {
  CUDA_VISIBLE_DEVICES: '-1',
  HIP_VISIBLE_DEVICES: '-1',
  VK_DRIVER_FILES: join(tmpdir(), 'no-such-vulkan-driver.json'),
  VK_ICD_FILENAMES: join(tmpdir(), 'no-such-vulkan-driver.json'),
};

/** Environment variables that leave SwiftShader as the only GPU: to the process it is a Vulkan driver like any other. */
export async function swiftShaderAlone(): Promise<Readonly<Record<string, string>>> {
  const directory = await unpackSwiftShader();
  const driver = join(directory, 'vk_swiftshader_icd.json');
  return { ...NO_GPU, VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: directory };
}

/** How the process differs from one of a user. */
export interface RouterProcess {
  /** A folder with this package as it is built. Defaults to its own. */
  readonly built?: string;
  /** What the WebGPU adapter says of itself. Defaults to the truth. */
  readonly disguise?: Readonly<Partial<GPUAdapterInfo>> | null;
}

/** Makes a router and routes one row. */
export async function createRouterInProcess(
  request: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string>>,
  { built = join(PACKAGE, 'dist'), disguise = null }: RouterProcess = {},
): Promise<RouterOutcome> {
  const { SWITCHYARD_ROUTER: _, SWITCHYARD_DEVICE: __, ...inherited } = process.env;
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      PROGRAM,
      `${pathToFileURL(built).href}/`,
      JSON.stringify(request),
      JSON.stringify(disguise),
    ],
    { cwd: dirname(built), env: { ...inherited, ...environment } },
  );
  return { ...(JSON.parse(stdout) as RouterOutcome), err: stderr };
}

/** A copy of the package in a folder where only its mandatory dependencies are installed. */
export async function installWithoutOptionalPackages(): Promise<{ readonly built: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'switchyard-router-kernel-'));
  const built = join(folder, 'dist');
  await cp(join(PACKAGE, 'dist'), built, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const gpu = join(folder, 'node_modules', '@switchyard', 'gpu');
  await mkdir(gpu, { recursive: true });
  // Copied, not linked: a link would find what is installed where it leads to.
  for (const part of ['package.json', 'dist', 'kernels'])
    await cp(join(GPU, part), join(gpu, part), { recursive: true });
  await symlink(
    dirname(createRequire(join(GPU, 'package.json')).resolve('koffi')),
    join(folder, 'node_modules', 'koffi'),
    'junction',
  );
  return { built, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
