/** Run by compile-cache.test.ts in several processes at once: goes through 20 kernels and prints a digest of all. */

import { createHash } from 'node:crypto';
import type { KernelCompiler } from '../../src/kernels/kernel-compiler.ts';
import { CompileCache } from '../../src/kernels/compile-cache.ts';

const compiler: KernelCompiler = {
  version: 'fake',
  options: ({ architecture }) => [architecture],
  compile: ({ source }) => new Uint8Array(200_000).fill(source.length),
};
const cache = new CompileCache({ folder: process.argv[2] ?? '' });
const digest = createHash('sha256');
for (let index = 1; index <= 20; index += 1) {
  const request = { source: 'x'.repeat(index), name: 'k.hip', architecture: 'gfx942', defines: {} };
  digest.update(await cache.compile(compiler, request));
}
process.stdout.write(digest.digest('hex'));
process.disconnect();
