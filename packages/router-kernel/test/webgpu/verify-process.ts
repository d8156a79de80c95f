/** Runs `router-kernel verify` in a process of its own, so that two of them share the machine's cores. */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const COMMAND_LINE = new URL('../../src/cli/main.ts', import.meta.url).href;
const PROGRAM = `
  import { main } from ${JSON.stringify(COMMAND_LINE)};
  process.exitCode = await main(process.argv.slice(1), {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    signal: new AbortController().signal,
  });`;

/** How a verification ended. */
export interface VerifyOutcome {
  readonly code: number | null;
  /** The JSON object that it printed; null where it printed none. */
  readonly report: Readonly<Record<string, unknown>> | null;
  readonly err: string;
}

/** Starts `router-kernel verify --json` with more arguments. The promise never rejects for what the program does. */
export async function verifyInProcess(args: readonly string[]): Promise<VerifyOutcome> {
  const evaluated = ['--input-type=module', '--eval', PROGRAM, 'verify', '--json', ...args];
  const child = spawn(process.execPath, evaluated, {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const parsed: unknown = out === '' ? null : JSON.parse(out);
  return { code, report: typeof parsed === 'object' ? (parsed as VerifyOutcome['report']) : null, err };
}
