/** What pnpm does to a package's manifest while packing it. No .pnpmfile of the root: the lockfile would hold its checksum. */
import { relative } from 'node:path';
import { ROOT } from './commands.mjs';
import { originAddress } from './repository.mjs';

export const hooks = {
  beforePacking(manifest, folder) {
    const url = originAddress(ROOT);
    if (url === null || manifest.repository !== undefined) return manifest;
    const directory = relative(ROOT, folder ?? process.cwd()).replaceAll('\\', '/');
    return { ...manifest, repository: { type: 'git', url, directory } };
  },
};
