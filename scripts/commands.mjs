/** Running other programs from the scripts of the root. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const WINDOWS = process.platform === 'win32';

/** A failure whose message is all that a person needs. */
export class StepFailed extends Error {}

/** The path of a tool that the packages install. */
export const bin = (name) => join(ROOT, 'node_modules', '.bin', WINDOWS ? `${name}.cmd` : name);

/** Runs a command; resolves with its exit code, and with its output where `quiet` keeps it from the terminal. */
export function run(command, args, { cwd = ROOT, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit', shell: WINDOWS });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        output += chunk;
      });
    }
    child.once('error', (error) => reject(new StepFailed(`${command} could not be started: ${error.message}`)));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Runs a command that has to succeed; `advice` tells what to do where it does not. */
export async function must(what, advice, command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code === 0) return;
  throw new StepFailed(`${output}${what} failed (exit code ${code}). ${advice}`);
}
