/**
 * The template language of kernels/*.wgsl, resolved line by line:
 *
 * - `#if NAME`, `#else`, `#end`: keep the lines where the flag is set, or not.
 * - `#repeat k`, `#end`: the lines once for each k from 0 (or from a number that follows) to K - 1, `$k` being the number.
 * - `{{NAME}}`: a text. Texts may hold `$k` and several lines.
 */

/** What a template is filled with. */
export interface TemplateValues {
  /** Texts for `{{NAME}}`. */
  readonly texts: Readonly<Record<string, string | number>>;
  /** Flags for `#if NAME`. */
  readonly flags: Readonly<Record<string, boolean>>;
  /** How often `#repeat` repeats. */
  readonly repeats: number;
}

/**
 * Fills in a template.
 *
 * @throws Error where the template names an unknown flag or text, or a block is not closed: a defect of this package
 */
export function expandTemplate(source: string, values: TemplateValues): string {
  const lines = source.split('\n');
  const { output, next } = expandLines(lines, 0, values, true);
  if (next !== lines.length) throw new Error(`Template line ${next + 1}: #end or #else without an #if.`);
  return output.join('\n');
}

interface Expansion {
  readonly output: string[];
  /** The line that ended the block: an #else, an #end, or the number of lines. */
  readonly next: number;
}

function expandLines(lines: readonly string[], start: number, values: TemplateValues, isKept: boolean): Expansion {
  const output: string[] = [];
  let index = start;
  while (index < lines.length) {
    const line = lines[index] as string;
    const [directive, name, from] = line.trim().split(' ');
    if (directive === '#else' || directive === '#end') break;
    if (directive === '#if') {
      const flag = values.flags[name ?? ''];
      if (flag === undefined) throw new Error(`Template line ${index + 1}: unknown flag ${name}.`);
      let branch = expandLines(lines, index + 1, values, isKept && flag);
      output.push(...branch.output);
      if (lines[branch.next]?.trim() === '#else') {
        branch = expandLines(lines, branch.next + 1, values, isKept && !flag);
        output.push(...branch.output);
      }
      index = endOf(lines, branch.next, index);
    } else if (directive === '#repeat') {
      const body = expandLines(lines, index + 1, values, isKept);
      for (let k = Number(from ?? 0); k < values.repeats; k++) {
        output.push(...body.output.map((repeated) => repeated.replaceAll(`$${name}`, String(k))));
      }
      index = endOf(lines, body.next, index);
    } else {
      if (isKept) output.push(fillLine(line, index, values.texts));
      index++;
    }
  }
  return { output, next: index };
}

function endOf(lines: readonly string[], end: number, opened: number): number {
  if (lines[end]?.trim() !== '#end') throw new Error(`Template line ${opened + 1}: the block is not closed.`);
  return end + 1;
}

function fillLine(line: string, index: number, texts: TemplateValues['texts']): string {
  return line.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const text = texts[name];
    if (text === undefined) throw new Error(`Template line ${index + 1}: unknown text ${name}.`);
    return String(text);
  });
}
