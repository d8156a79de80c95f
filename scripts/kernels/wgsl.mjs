/**
 * WGSL as TypeScript: a module under src/webgpu/wgsl for every .wgsl file under kernels, so that browsers and bundlers need
 * no file access.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { inRoot } from './artefacts.mjs';

/** Packages with .wgsl files, and where their modules go. */
const PACKAGES = [{ kernels: 'packages/router-kernel/kernels', modules: 'packages/router-kernel/src/webgpu/wgsl' }];

/** @type {import('./artefacts.mjs').KernelBuild} */
export const WGSL = {
  name: 'wgsl',
  missing: () => [],
  build: async () =>
    PACKAGES.flatMap(({ kernels, modules }) =>
      readdirSync(inRoot(kernels), { recursive: true })
        .map((name) => name.replaceAll('\\', '/'))
        .filter((name) => name.endsWith('.wgsl'))
        .sort((a, b) => (a < b ? -1 : 1))
        .map((name) => ({
          path: join(inRoot(modules), `${name.replace('.wgsl', '').replaceAll('_', '-')}.ts`),
          bytes: Buffer.from(moduleOf(name, readFileSync(join(inRoot(kernels), name), 'utf8'))),
        })),
    ),
};

function moduleOf(file, text) {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${');
  const header = `/** kernels/${file}, as text. Written by npm run kernels: change the .wgsl file instead. */`;
  const constant = `${basename(file, '.wgsl').toUpperCase()}_WGSL`;
  return `${header}\nexport const ${constant} = {\n  file: 'kernels/${file}',\n  text: \`${escaped}\`,\n};\n`;
}
