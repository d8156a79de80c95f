/** Builds a package's archives of code objects. Compiles only what the build before does not have. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import {
  compressArchive,
  decompressArchive,
  packObjects,
  unpackObjects,
  type ArchivedObject,
} from '../kernels/object-archive.ts';
import { archiveName } from '../kernels/prebuilt-objects.ts';
import { parseListing } from './disassembly.ts';
import {
  compileAllOffline,
  disassemble,
  identifyAllOffline,
  readKernelResources,
  requireLlvm,
} from './llvm-toolchain.ts';
import { requestHash } from './object-manifest.ts';
import type {
  ArchiveRequest,
  DescribedArchive,
  DescribedKernel,
  ObjectManifest,
  ObjectRequest,
} from './object-manifest.ts';

/** Archives by the names of their files, compressed, and what the manifest says of them. */
export interface ArchiveBuild {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly manifest: ObjectManifest;
}

/** A build that is there: nothing where there is none. */
export function readBuild(folder: URL): ArchiveBuild | null {
  const file = new URL('manifest.json', folder);
  if (!existsSync(file)) return null;
  const manifest: ObjectManifest = JSON.parse(readFileSync(file, 'utf8'));
  const names = manifest.architectures
    .map(({ file: name }) => name)
    .filter((name) => existsSync(new URL(name, folder)));
  return { manifest, files: new Map(names.map((name) => [name, readFileSync(new URL(name, folder))])) };
}

/** How to build. */
export interface BuildOptions {
  /** A build to take objects from that would come out the same. Defaults to none: all are compiled. */
  readonly before?: ArchiveBuild | null;
  /** Archives to take as they are where they come out the same, since Brotli may change. Defaults to `before`. */
  readonly compressedBefore?: ArchiveBuild | null;
  /** Hears how many objects are going to be compiled. */
  readonly onCompile?: (objects: number, of: number) => void;
}

/** A request with what its object is compiled from. */
interface Identified extends ObjectRequest {
  readonly architecture: string;
  readonly hash: string;
  readonly identity: string;
}

/**
 * Builds archives. Requests of an architecture whose texts are the same after the preprocessor share an object.
 *
 * @throws KernelCompileError, also where LLVM is not installed
 */
export async function buildArchives(
  requests: readonly ArchiveRequest[],
  { before = null, compressedBefore = before, onCompile = () => {} }: BuildOptions = {},
): Promise<ArchiveBuild> {
  const compiler = requireLlvm();
  const kept = new KeptObjects(before?.manifest.compiler === compiler ? before : null);
  const identified = await identify(requests, kept);
  const distinct = new Map(identified.map((request) => [placeOf(request), request]));
  const missing = [...distinct.values()].filter((request) => kept.codeOf(request) === null);
  onCompile(missing.length, distinct.size);
  const compiled = await compileAllOffline(missing);
  const fresh = new Map(missing.map((request, index) => [placeOf(request), compiled[index] ?? new Uint8Array(0)]));

  const files = new Map<string, Uint8Array>();
  const architectures = requests.map(({ architecture }): DescribedArchive => {
    const own = identified.filter((request) => request.architecture === architecture);
    const objects = [...new Set(own.map(({ identity }) => identity))].map((identity) => {
      const same = own.filter((request) => request.identity === identity);
      const code =
        fresh.get(`${architecture} ${identity}`) ?? kept.codeOf({ architecture, identity }) ?? new Uint8Array(0);
      const keys = [...new Set(same.flatMap((request) => request.keys))];
      const kernels = kept.kernelsOf({ architecture, identity }) ?? describeKernels(code);
      return { name: same[0]?.name ?? '', keys, identity, code, kernels, requests: same.map(({ hash }) => hash) };
    });
    const archive = packObjects(objects.map(({ identity, keys, code }) => ({ identity, keys, code })));
    const file = archiveName(architecture);
    const hash = sha256(archive);
    const sameBefore = compressedBefore?.files.get(file);
    const bytes = sameBefore && sha256(decompressArchive(sameBefore)) === hash ? sameBefore : compressArchive(archive);
    files.set(file, bytes);
    const described = objects.map(({ name, identity, code, kernels, requests: answered }) => ({
      name,
      bytes: code.length,
      identity,
      requests: answered,
      kernels,
    }));
    return { architecture, file, bytes: bytes.length, sha256: hash, objects: described };
  });
  return { files, manifest: { compiler, architectures } };
}

/** Registers, memory and instructions of an object's kernels. */
export function describeKernels(code: Uint8Array): readonly DescribedKernel[] {
  const listing = parseListing(disassemble(code));
  return readKernelResources(code).map((taken) => ({
    ...taken,
    instructions: listing.get(taken.symbol)?.length ?? 0,
  }));
}

async function identify(requests: readonly ArchiveRequest[], kept: KeptObjects): Promise<readonly Identified[]> {
  const all = requests.flatMap(({ architecture, objects }) =>
    objects.map((object) => ({ ...object, architecture, hash: requestHash(object) })),
  );
  const unknown = all.filter((request) => kept.identityOf(request) === null);
  const found = await identifyAllOffline(unknown);
  const identities = new Map(unknown.map((request, index) => [request, found[index] ?? '']));
  return all.map((request) => ({ ...request, identity: identities.get(request) ?? kept.identityOf(request) ?? '' }));
}

function placeOf({ architecture, identity }: Pick<Identified, 'architecture' | 'identity'>): string {
  return `${architecture} ${identity}`;
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The objects of a build, by architecture and identity. */
class KeptObjects {
  readonly #identities = new Map<string, string>();
  readonly #kernels = new Map<string, readonly DescribedKernel[]>();
  readonly #objects = new Map<string, ArchivedObject>();

  constructor(build: ArchiveBuild | null) {
    for (const { architecture, file, objects } of build?.manifest.architectures ?? []) {
      for (const { identity, requests, kernels } of objects) {
        this.#kernels.set(placeOf({ architecture, identity }), kernels);
        for (const hash of requests) this.#identities.set(`${architecture} ${hash}`, identity);
      }
      const archive = build?.files.get(file);
      for (const object of archive === undefined ? [] : unpackObjects(decompressArchive(archive))) {
        this.#objects.set(placeOf({ architecture, identity: object.identity }), object);
      }
    }
  }

  /** Null where the request was not answered before. */
  identityOf({ architecture, hash }: Pick<Identified, 'architecture' | 'hash'>): string | null {
    return this.#identities.get(`${architecture} ${hash}`) ?? null;
  }

  codeOf(request: Pick<Identified, 'architecture' | 'identity'>): Uint8Array | null {
    return this.#objects.get(placeOf(request))?.code ?? null;
  }

  kernelsOf(request: Pick<Identified, 'architecture' | 'identity'>): readonly DescribedKernel[] | null {
    return this.#kernels.get(placeOf(request)) ?? null;
  }
}
