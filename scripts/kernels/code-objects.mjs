/**
 * Kernels as code objects for AMD GPUs: of each package an archive for every architecture, and a manifest that says what they
 * were built from. What comes out the same is taken from the build that is there, unless a check compiles all again.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingOf } from './tools.mjs';

const TOOLS = ['clang++', 'ld.lld', 'llvm-readelf', 'llvm-objdump', 'llvm-strip'].map((tool) => `${tool}-22`);

/** Modules of built packages, which say what there is to build and where it goes. */
const OFFLINE = '../../packages/gpu/dist/offline/index.js';
const ROUTER = {
  requests: '../../packages/router-kernel/dist/hip/prebuilt-requests.js',
  folder: '../../packages/router-kernel/kernels/prebuilt/',
};
const ENGINE = {
  requests: '../../packages/engine/dist/runners/hip/prebuilt-kernels.js',
  folder: '../../packages/engine/kernels/hip/prebuilt/',
};

/** @type {import('./artefacts.mjs').KernelBuild} */
export const ROUTER_OBJECTS = {
  name: 'router',
  missing: () => missingOf(TOOLS),
  build: (again) => build(ROUTER, again),
};

/** @type {import('./artefacts.mjs').KernelBuild} */
export const ENGINE_OBJECTS = {
  name: 'engine',
  missing: () => missingOf(TOOLS),
  build: (again) => build(ENGINE, again),
};

async function build(part, again) {
  const { buildArchives, manifestText, readBuild } = await import(OFFLINE);
  const { prebuiltRequests } = await import(part.requests);
  const url = new URL(part.folder, import.meta.url);
  const folder = fileURLToPath(url);
  const there = readBuild(url);
  const { files, manifest } = await buildArchives(await prebuiltRequests(), {
    before: again ? null : there,
    compressedBefore: there,
    onCompile: (objects, of) => process.stdout.write(`compiling ${objects} of ${of} objects\n`),
  });
  return [
    ...[...files].map(([name, bytes]) => ({ path: join(folder, name), bytes })),
    { path: join(folder, 'manifest.json'), bytes: Buffer.from(manifestText(manifest)) },
  ];
}
