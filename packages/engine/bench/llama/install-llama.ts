/** node-llama-cpp, installed on demand into a folder of its own: it is no dependency of any package. */

import { pathToFileURL } from 'node:url';
import { cacheFolder, installOnDemand } from '../install-on-demand.ts';

/** The version that figures are of. */
export const LLAMA_VERSION = '3.22.1';

/** The packages of node-llama-cpp for a machine without GPU: itself, and its binaries for this system. */
const PACKAGES = [
  `node-llama-cpp@${LLAMA_VERSION}`,
  `@node-llama-cpp/${process.platform === 'darwin' ? 'mac' : process.platform}-${process.arch}@${LLAMA_VERSION}`,
];

/**
 * The entry of node-llama-cpp, installed from npm where it is not yet, without its own downloads.
 *
 * @param folder defaults to one in the user's cache folder.
 */
export async function installLlama(folder: string = cacheFolder(`node-llama-cpp-${LLAMA_VERSION}`)): Promise<URL> {
  return pathToFileURL(await installOnDemand(folder, PACKAGES, 'node-llama-cpp/dist/index.js'));
}
