/**
 * What the terminal can show.
 *
 * @module
 */

/** Text styles; plain text where the output is no terminal or colour is not wanted. */
export interface Terminal {
  /** Whether lines can be redrawn. */
  readonly interactive: boolean;
  readonly color: boolean;
  dim(text: string): string;
  bold(text: string): string;
  /** A cell whose brightness shows `share`, 0 to 1. */
  cell(share: number): string;
}

/** Darkest to brightest of xterm's 256 colours, black to orange. */
const SHADES = [233, 52, 88, 124, 160, 202, 208, 214] as const;
/** The same in plain text. */
const BLOCKS = ['.', ':', '-', '=', '+', '*', '#', '@'] as const;

/** Which of the eight steps shows `share`: only nothing at all is the darkest. */
const stepOf = (share: number): number =>
  Math.min(SHADES.length - 1, Math.max(0, Math.ceil(share * (SHADES.length - 1))));

/** Fits the styles to an output; NO_COLOR (no-color.org) counts as a wish for none. */
export function createTerminal(output: NodeJS.WriteStream, wantsColor: boolean): Terminal {
  const interactive = output.isTTY;
  const color = interactive && wantsColor && (process.env['NO_COLOR'] ?? '') === '';
  const style = (code: number, text: string): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    interactive,
    color,
    dim: (text) => style(2, text),
    bold: (text) => style(1, text),
    cell: (share) => {
      const step = stepOf(share);
      return color ? `\u001b[48;5;${SHADES[step] ?? SHADES[0]}m  \u001b[0m` : (BLOCKS[step] ?? BLOCKS[0]);
    },
  };
}
