/** `switchyard serve` as a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { BIN } from '../cli/switchyard.ts';

const RUNNER = new URL('./prompted-runner.ts', import.meta.url).href;

/** Options that make the model say what its prompts tell it to. */
export const SCRIPTED = ['--runner-module', RUNNER];

/** Starts `switchyard serve` on a free port, unless told otherwise, and waits for its URL. */
export async function serve(
  ...options: string[]
): Promise<{ child: ChildProcess; url: string; output: () => string; log: () => string }> {
  const words = ['serve', '--port', '0', ...options];
  const child = spawn(process.execPath, [BIN, ...words]);
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
  });
  let log = '';
  child.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  for (;;) {
    const url = /listening on (\S+)/.exec(output)?.[1];
    if (url !== undefined) return { child, url, output: () => output, log: () => log };
    if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
