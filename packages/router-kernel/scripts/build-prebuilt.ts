/** Writes kernels/prebuilt: `node --import=tsx scripts/build-prebuilt.ts`, wherever LLVM 22 is installed. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { buildPrebuilt } from '../src/hip/kernel/build-prebuilt.ts';
import { PREBUILT_FOLDER } from '../src/hip/kernel/prebuilt-kernels.ts';

const { bundle, manifest } = buildPrebuilt();
mkdirSync(PREBUILT_FOLDER, { recursive: true });
writeFileSync(new URL(manifest.bundle.file, PREBUILT_FOLDER), bundle);
writeFileSync(new URL('manifest.json', PREBUILT_FOLDER), `${JSON.stringify(manifest, null, 2)}\n`);
const kernels = manifest.architectures.reduce((sum, architecture) => sum + architecture.kernels.length, 0);
console.log(`${kernels} kernels for ${manifest.architectures.length} architectures, ${bundle.length} bytes`);
