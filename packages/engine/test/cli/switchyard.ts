import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { main } from '../../src/cli/main.ts';

export const BIN = fileURLToPath(new URL('../../bin/switchyard.mjs', import.meta.url));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Node with these words, and these variables beside the process's own. */
export function runNode(words: readonly string[], variables: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, words, { env: { ...process.env, ...variables } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** Runs Node with these words, and this on its standard input. */
export function runWithInput(words: readonly string[], input: string | Buffer): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, words, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

/** Runs the built command. */
export function switchyard(...words: string[]): Promise<Outcome> {
  return runNode([BIN, ...words]);
}

/** Runs the command in this process, which is quicker, with nothing on its standard input. */
export async function switchyardHere(...words: string[]): Promise<Outcome> {
  const [output, error] = [new PassThrough(), new PassThrough()];
  const written = Promise.all([text(output), text(error)]);
  const code = await main(words, { input: Readable.from([]), output, error, color: false, piped: true });
  output.end();
  error.end();
  const [stdout, stderr] = await written;
  return { code, stdout, stderr };
}

/** Runs a program whose reader goes away at the first bytes, as `head -c 1` does; gives exit code, signal and noise. */
export async function cutOff(program: string, ...words: string[]): Promise<[number | null, string | null, string]> {
  const child = spawn(process.execPath, [program, ...words]);
  let noise = '';
  child.stderr.on('data', (data: Buffer) => {
    noise += data.toString();
  });
  child.stdout.once('data', () => child.stdout.destroy());
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return [code, signal, noise];
}
