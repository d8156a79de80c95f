/**
 * What the commands write to: standard output and error, with colours only where a person looks.
 */

/** Where a command reads and writes. Tests give their own. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  readonly error: NodeJS.WritableStream;
  /** Whether escape codes may be written to `output`. */
  readonly color: boolean;
  /** Whether `input` is a pipe or a file that may hold a whole prompt, and no person. Defaults to false. */
  readonly piped?: boolean;
  /** Characters of a line of `error`, where that is a terminal whose last line can be written anew. */
  readonly liveColumns?: number;
}

const USUAL_COLUMNS = 80;

/** The process's own streams; https://no-color.org is followed. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process;
  const color = stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  const terminal = { input: stdin, output: stdout, error: stderr, color, piped: !stdin.isTTY };
  // A terminal that does not know its width says 0.
  const liveColumns = stderr.columns > 0 ? stderr.columns : USUAL_COLUMNS;
  return stderr.isTTY && env['TERM'] !== 'dumb' ? { ...terminal, liveColumns } : terminal;
}

/** Text that steps back behind the rest. */
export const dim = (terminal: Terminal, text: string): string => (terminal.color ? `\u001b[2m${text}\u001b[22m` : text);
