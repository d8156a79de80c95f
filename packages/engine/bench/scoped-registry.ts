/** A registry of npm's on loopback that has the packages of this repository, packed, and no others. */

import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Bytes of a block of a tar archive. */
const TAR_BLOCK = 512;
/** Where a tar header has its file's name, and its size in octal digits. */
const TAR_NAME = [0, 100] as const;
const TAR_SIZE = [124, 136] as const;

interface Manifest {
  readonly name: string;
  readonly version: string;
}

/** The package.json of a packed package. */
function manifestOf(tarball: Buffer): Manifest {
  const archive = gunzipSync(tarball);
  const text = (at: number, [from, to]: readonly [number, number]): string =>
    archive.toString('latin1', at + from, at + to).replace(/[\0 ].*$/s, '');
  for (let at = 0; at + TAR_BLOCK <= archive.length; ) {
    const size = Number.parseInt(text(at, TAR_SIZE) || '0', 8);
    const begin = at + TAR_BLOCK;
    if (text(at, TAR_NAME) === 'package/package.json') {
      return JSON.parse(archive.toString('utf8', begin, begin + size)) as Manifest;
    }
    at = begin + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  throw new Error('A tarball without package/package.json');
}

/** The registry. Tells npm of itself by an environment variable, for the scope `@switchyard` alone. */
export class ScopedRegistry {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Serves tarballs as their newest and only versions. @param files paths of tarballs */
  static async open(files: readonly string[]): Promise<ScopedRegistry> {
    const documents = new Map<string, (origin: string) => string | Buffer>();
    for (const file of files) {
      const tarball = await readFile(file);
      const manifest = manifestOf(tarball);
      const path = `/${basename(file)}`;
      const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
      documents.set(path, () => tarball);
      documents.set(`/${manifest.name}`, (origin) =>
        JSON.stringify({
          name: manifest.name,
          'dist-tags': { latest: manifest.version },
          versions: { [manifest.version]: { ...manifest, dist: { tarball: `${origin}${path}`, integrity } } },
        }),
      );
    }
    const server = createServer((request, response) => {
      const document = documents.get(decodeURIComponent(request.url ?? ''));
      response.writeHead(document === undefined ? 404 : 200);
      response.end(document?.(`http://${request.headers.host ?? ''}`));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ScopedRegistry(server);
  }

  /** What npm has to find in its environment. */
  get environment(): Record<string, string> {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The registry has no port.');
    return { 'npm_config_@switchyard:registry': `http://127.0.0.1:${address.port}/` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
