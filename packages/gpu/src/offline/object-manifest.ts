/** What is known of a package's archives of code objects without reading them: manifest.json beside them. */

import { createHash } from 'node:crypto';
import { archiveName } from '../kernels/prebuilt-objects.ts';
import type { KernelResources } from './disassembly.ts';
import type { OfflineRequest } from './llvm-toolchain.ts';

/** A code object to be built: one translation unit. */
export interface ObjectRequest extends Pick<OfflineRequest, 'source' | 'defines'> {
  /** For people. */
  readonly name: string;
  /** What its kernels are looked up by. */
  readonly keys: readonly string[];
}

/** The objects of one architecture. */
export interface ArchiveRequest {
  /** Of a GPU, or one of LLVM's generic processors. */
  readonly architecture: string;
  readonly objects: readonly ObjectRequest[];
}

/** A kernel as it was compiled. */
export interface DescribedKernel extends KernelResources {
  /** Instructions, up to the one that ends it. */
  readonly instructions: number;
}

/** An object of an archive. */
export interface DescribedObject {
  /** Of the first request that gives it. */
  readonly name: string;
  readonly bytes: number;
  /** See `ArchivedObject`. */
  readonly identity: string;
  /** `requestHash` of all requests that give it. */
  readonly requests: readonly string[];
  readonly kernels: readonly DescribedKernel[];
}

/** An archive. */
export interface DescribedArchive {
  readonly architecture: string;
  readonly file: string;
  /** Of the file, compressed. */
  readonly bytes: number;
  /** SHA-256 of the archive before it is compressed. */
  readonly sha256: string;
  readonly objects: readonly DescribedObject[];
}

/** The whole of manifest.json. */
export interface ObjectManifest {
  /** The compiler's version line. */
  readonly compiler: string;
  readonly architectures: readonly DescribedArchive[];
}

/** Names the text, the macros and the keys of a request. */
export function requestHash({ source, defines = {}, keys }: ObjectRequest): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([Object.entries(defines), keys]))
    .update(source);
  return hash.digest('hex').slice(0, 24);
}

/**
 * What of a build is not of today's requests, a line each: archives and objects that are missing, too many, or of another
 * text. Compiles nothing.
 */
export function staleObjects(requests: readonly ArchiveRequest[], manifest: ObjectManifest): readonly string[] {
  const stale: string[] = [];
  for (const { architecture, objects } of requests) {
    const shipped = manifest.architectures.find((archive) => archive.architecture === architecture)?.objects ?? [];
    const answered = new Set(shipped.flatMap((object) => object.requests));
    const asked = new Set(objects.map(requestHash));
    for (const request of objects) {
      if (!answered.has(requestHash(request))) stale.push(`${archiveName(architecture)} lacks ${request.name}`);
    }
    for (const object of shipped) {
      if (!object.requests.every((hash) => asked.has(hash)))
        stale.push(`${archiveName(architecture)} has another ${object.name}`);
    }
  }
  const wanted = new Set(requests.map(({ architecture }) => architecture));
  for (const { architecture, file } of manifest.architectures) {
    if (!wanted.has(architecture)) stale.push(`${file} is of no use`);
  }
  return stale;
}

/** The manifest as text: a line for each kernel, so that a change shows which. */
export function manifestText({ architectures, ...head }: ObjectManifest): string {
  const archives = architectures.map(({ objects, ...archive }) => {
    const listed = objects.map(({ kernels, ...object }) => {
      const lines = kernels.map((kernel) => `        ${JSON.stringify(kernel)}`).join(',\n');
      return `      ${JSON.stringify(object).slice(0, -1)},"kernels":[\n${lines}\n      ]}`;
    });
    return `    ${JSON.stringify(archive).slice(0, -1)},"objects":[\n${listed.join(',\n')}\n    ]}`;
  });
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "architectures": [\n${archives.join(',\n')}\n  ]\n}\n`;
}
