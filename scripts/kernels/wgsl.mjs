/**
 * WGSL as TypeScript: src/webgpu/wgsl/*.ts from kernels/*.wgsl, a module for each, so that browsers and bundlers need no
 * file access.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { inRoot } from './artefacts.mjs';

/** Packages with kernels/*.wgsl, and where their modules go. */
const PACKAGES = [{ kernels: 'packages/router-kernel/kernels', modules: 'packages/router-kernel/src/webgpu/wgsl' }];

/** @type {import('./artefacts.mjs').KernelBuild} */
export const WGSL = {
  name: 'WGSL',
  missing: () => [],
  build: async () =>
    PACKAGES.flatMap(({ kernels, modules }) =>
      readdirSync(inRoot(kernels))
        .filter((name) => name.endsWith('.wgsl'))
        .sort()
        .map((name) => ({
          path: join(inRoot(modules), `${basename(name, '.wgsl').replaceAll('_', '-')}.ts`),
          bytes: Buffer.from(moduleOf(name, readFileSync(join(inRoot(kernels), name), 'utf8'))),
        })),
    ),
};

function moduleOf(file, text) {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${');
  const header = `/** kernels/${file}, as text. Written by npm run kernels: change the .wgsl file instead. */`;
  return `${header}\nexport const ${basename(file, '.wgsl').toUpperCase()}_WGSL = \`${escaped}\`;\n`;
}
