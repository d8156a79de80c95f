/** Long answers in Markdown, in the shapes that are hard on a page that shows them while they come. */

/** The blocks of a usual answer, and each of them as one block without an end. */
export const SHAPES = ['a usual answer', 'one list', 'one table', 'one block of code', 'one paragraph'] as const;
export type Shape = (typeof SHAPES)[number];

/** Letters of a token, about. */
const TOKEN_LENGTH = 4;

const WORDS = 'the light of a tower gives warning to ships that pass the shoals at night and in fog'.split(' ');
const words = (count: number, from: number): string =>
  Array.from({ length: count }, (_, index) => WORDS[(from + index) % WORDS.length]).join(' ');

const BLOCKS: readonly ((index: number) => string)[] = [
  (index) => `## Part ${index}\n\n`,
  (index) => `${words(40, index)}, **${words(3, index)}** and \`${words(1, index)}\`.\n\n`,
  (index) => `${Array.from({ length: 6 }, (_, item) => `- ${words(12, index + item)}`).join('\n')}\n\n`,
  (index) =>
    `\`\`\`ts\n${Array.from({ length: 8 }, (_, line) => `const value${line} = light(${index}, '${words(4, line)}');`).join('\n')}\n\`\`\`\n\n`,
  (index) =>
    `| part | what | how many |\n|---|---|--:|\n${Array.from({ length: 6 }, (_, row) => `| ${words(1, row)} | ${words(5, index)} | ${row} |`).join('\n')}\n\n`,
  (index) => `> ${words(20, index)}\n\n1. ${words(9, index)}\n2. ${words(9, index + 1)}\n   - ${words(6, index)}\n\n`,
];

const PIECES: Readonly<Record<Shape, { readonly head: string; readonly piece: (index: number) => string }>> = {
  'a usual answer': { head: '', piece: (index) => BLOCKS[index % BLOCKS.length]?.(index) ?? '' },
  'one list': { head: '', piece: (index) => `- ${words(10, index)} **${index}**\n` },
  'one table': {
    head: '| a | b | c |\n|---|---|---|\n',
    piece: (index) => `| ${index} | ${words(6, index)} | \`${words(1, index)}\` |\n`,
  },
  'one block of code': {
    head: '```ts\n',
    piece: (index) => `const value${index} = light(${index}, '${words(5, index)}');\n`,
  },
  'one paragraph': { head: '', piece: (index) => `${words(8, index)}, **${words(2, index)}** ` },
};

/** An answer of a shape, so many tokens long. */
export function textOf(shape: Shape, tokens: number): string {
  const { head, piece } = PIECES[shape];
  let text = head;
  for (let index = 0; text.length < tokens * TOKEN_LENGTH; index += 1) text += piece(index);
  return text.slice(0, tokens * TOKEN_LENGTH);
}

/** Its tokens. */
export function tokensOf(text: string): string[] {
  return text.match(new RegExp(`[^]{1,${TOKEN_LENGTH}}`, 'g')) ?? [];
}
