/**
 * The template language of .wgsl files, resolved line by line:
 *
 * - `#if NAME` or `#if !NAME`, then perhaps `#else`, then `#end`: keep the lines where the flag is set, or is not.
 * - `#repeat k`, `#end`: the lines once for each k from 0 (or from a number that follows) to the number of repeats less
 *   one, `$k` being the number.
 * - `#end NAME`: an end may say what it closes, as that was opened (`#end !NAME`, `#end k`), and is then checked.
 * - `{{NAME}}`: a text. Texts may hold `$k`, and several lines, each of which is indented as a text alone on its line is.
 *
 * Names are checked in branches that are not taken, too.
 */

/** A file of WGSL in this language. */
export interface TemplatePart {
  /** The file's path, for messages. */
  readonly file: string;
  readonly text: string;
}

/** What a template is filled with. */
export interface TemplateValues {
  /** Texts for `{{NAME}}`. */
  readonly texts: Readonly<Record<string, string | number>>;
  /** Flags for `#if NAME`. */
  readonly flags: Readonly<Record<string, boolean>>;
  /** How often `#repeat` repeats, counted from 0. */
  readonly repeats: number;
}

/**
 * Fills in a template.
 *
 * @param file what messages call the template
 * @throws Error naming file and line for an unknown flag, text or directive, a block that is not closed, and an end
 * that closes something else than it says: defects of the template or of who fills it in
 */
export function expandTemplate(text: string, values: TemplateValues, file = 'template'): string {
  const reader: Reader = { file, lines: text.split('\n'), next: 0 };
  const output = expandLines(reader, values, true);
  if (reader.next < reader.lines.length) fail(reader, reader.next, '#end or #else without an #if or #repeat.');
  return output.join('\n');
}

/** Fills in some parts, one after the other. */
export function expandParts(parts: readonly TemplatePart[], values: TemplateValues): string {
  return parts.map(({ file, text }) => expandTemplate(text, values, file)).join('\n');
}

interface Reader {
  readonly file: string;
  readonly lines: readonly string[];
  /** The line that is read next, from 0. */
  next: number;
}

/** The words of a line such as `#if NAME`. */
interface Directive {
  readonly name: string;
  readonly words: readonly string[];
}

/** How many words may follow a directive. */
const WORDS: Readonly<Record<string, readonly [least: number, most: number]>> = {
  '#if': [1, 1],
  '#else': [0, 0],
  '#repeat': [1, 2],
  '#end': [0, 1],
};

/** Expands lines up to an #else or #end, which is left to be read, or to the end of the file. */
function expandLines(reader: Reader, values: TemplateValues, isKept: boolean): string[] {
  const output: string[] = [];
  while (reader.next < reader.lines.length) {
    const directive = directiveAt(reader, reader.next);
    if (directive === null) {
      const line = fillLine(reader, values.texts);
      if (isKept) output.push(line);
      reader.next++;
    } else if (directive.name === '#if') {
      output.push(...expandIf(reader, directive, values, isKept));
    } else if (directive.name === '#repeat') {
      output.push(...expandRepeat(reader, directive, values, isKept));
    } else {
      break;
    }
  }
  return output;
}

function expandIf(reader: Reader, { words }: Directive, values: TemplateValues, isKept: boolean): string[] {
  const opened = reader.next++;
  const [condition = ''] = words;
  const isNegated = condition.startsWith('!');
  const name = isNegated ? condition.slice(1) : condition;
  const flag = values.flags[name];
  if (flag === undefined) fail(reader, opened, `unknown flag ${name}.`);
  const isTaken = flag !== isNegated;
  const output = expandLines(reader, values, isKept && isTaken);
  if (directiveAt(reader, reader.next)?.name === '#else') {
    reader.next++;
    output.push(...expandLines(reader, values, isKept && !isTaken));
  }
  closeBlock(reader, opened, condition);
  return output;
}

function expandRepeat(reader: Reader, { words }: Directive, values: TemplateValues, isKept: boolean): string[] {
  const opened = reader.next++;
  const [variable = '', from = '0'] = words;
  if (!/^[a-z]\w*$/i.test(variable)) fail(reader, opened, `${variable} is no name to repeat by.`);
  if (!/^\d+$/.test(from)) fail(reader, opened, `${from} is no number to repeat from.`);
  const body = expandLines(reader, values, isKept);
  closeBlock(reader, opened, variable);
  const place = new RegExp(`\\$${variable}\\b`, 'g');
  const output: string[] = [];
  for (let k = Number(from); k < values.repeats; k++) {
    output.push(...body.map((line) => line.replaceAll(place, String(k))));
  }
  return output;
}

function closeBlock(reader: Reader, opened: number, name: string): void {
  const end = directiveAt(reader, reader.next);
  if (end === null) fail(reader, opened, 'the block is not closed.');
  if (end.name !== '#end') fail(reader, reader.next, `an #else that belongs to no #if.`);
  const [label = name] = end.words;
  if (label !== name) fail(reader, reader.next, `#end ${label} closes ${name} of line ${opened + 1}.`);
  reader.next++;
}

/** The directive of a line; null where it is none, or there is no such line. */
function directiveAt(reader: Reader, index: number): Directive | null {
  const line = reader.lines[index]?.trim() ?? '';
  // No line of WGSL begins with this sign.
  if (!line.startsWith('#')) return null;
  const [name = '', ...words] = line.split(/\s+/);
  const count = WORDS[name];
  if (count === undefined) fail(reader, index, `unknown directive ${name}.`);
  const [least, most] = count;
  if (words.length < least || words.length > most) fail(reader, index, `${name} has too few or too many words.`);
  return { name, words };
}

function fillLine(reader: Reader, texts: TemplateValues['texts']): string {
  const line = reader.lines[reader.next] ?? '';
  const textOf = (name: string): string => {
    const text = texts[name];
    if (text === undefined) fail(reader, reader.next, `unknown text ${name}.`);
    return String(text);
  };
  const [, indentation = '', alone] = /^( *)\{\{(\w+)\}\}$/.exec(line) ?? [];
  if (alone !== undefined) return textOf(alone).replaceAll(/^(?=.)/gm, indentation);
  return line.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => textOf(name));
}

function fail({ file }: Reader, index: number, message: string): never {
  throw new Error(`${file}, line ${index + 1}: ${message}`);
}
