/** Where a package's source is: what its clone was cloned from. */
import { execFileSync } from 'node:child_process';

/**
 * The address of a repository as npm's `repository.url` has it: `git+https://HOST/PATH.git`.
 *
 * @param {string} remote what git calls it: an https or ssh address, or `USER@HOST:PATH`
 * @returns {string | null} null for what nobody else can reach, such as a folder or a plain git daemon. Names and
 *   passwords of the remote never get in
 */
export function repositoryAddress(remote) {
  const [, host, path] =
    /^(?:https|ssh):\/\/(?:[^/@]*@)?([^/:@]+)(?::\d+)?\/+([^?#]+)$/.exec(remote) ??
    /^[\w.-]+@([^/:@]+):(?!\/\/)\/*([^?#]+)$/.exec(remote) ??
    [];
  if (host === undefined || !host.includes('.')) return null;
  return `git+https://${host}/${path.replace(/\/+$/, '').replace(/\.git$/, '')}.git`;
}

/** The address of this clone's origin; null where it has none. */
export function originAddress(folder) {
  try {
    const remote = execFileSync('git', ['remote', 'get-url', 'origin'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return repositoryAddress(remote.trim());
  } catch {
    // No git, no clone or no origin: a package without an address is better than one with a guess.
    return null;
  }
}
