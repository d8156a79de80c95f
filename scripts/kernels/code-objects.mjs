/** The router's kernels as code objects for AMD GPUs, in one bundle with its manifest: minutes, over all cores. */
import { join } from 'node:path';
import { inRoot } from './artefacts.mjs';
import { missingOf } from './tools.mjs';

const FOLDER = 'packages/router-kernel/kernels/prebuilt';
/** The build itself is the package's, built: `router-kernel compile` and the tests share it. */
const BUILD = new URL('../../packages/router-kernel/dist/hip/kernel/build-prebuilt.js', import.meta.url);
const TOOLS = ['clang++', 'ld.lld', 'llvm-readelf', 'llvm-objdump', 'llvm-strip'].map((tool) => `${tool}-22`);

/** @type {import('./artefacts.mjs').KernelBuild} */
export const CODE_OBJECTS = {
  name: 'AMD code objects',
  missing: () => missingOf(TOOLS),
  build: async () => {
    const { buildPrebuilt, manifestText } = await import(BUILD.href);
    const { bundle, manifest } = await buildPrebuilt();
    return [
      { path: join(inRoot(FOLDER), manifest.bundle.file), bytes: bundle },
      {
        path: join(inRoot(FOLDER), 'manifest.json'),
        bytes: Buffer.from(manifestText(manifest)),
      },
    ];
  },
};
