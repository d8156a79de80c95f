import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

/** A block of TypeScript in a page that people read. */
export interface CodeBlock {
  /** Where it stands: `docs/harmony.md:9`. */
  readonly place: string;
  readonly code: string;
  /** Why it is compiled and not run; null where it is run. */
  readonly notRun: string | null;
}

/** What the comments just before a block say: code that it is continued from, and why it is not run. */
const BEFORE = /<!-- before\n((?:(?!-->)[\s\S])*)-->\s*$/;
const NOT_RUN = /<!-- not run: ((?:(?!-->).)*) -->\s*$/;

/** Every ts block of the repository's pages. */
export function codeBlocks(root: string): CodeBlock[] {
  return pages(root).flatMap((page) => blocksOf(readFileSync(join(root, page), 'utf8'), page));
}

/** README.md, those of the packages and examples, and docs. */
function pages(root: string): string[] {
  const inFolders = ['packages', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => join(folder, name, 'README.md')),
  );
  const docs = readdirSync(join(root, 'docs')).map((name) => join('docs', name));
  const all = ['README.md', 'CONTRIBUTING.md', ...inFolders, ...docs].filter((path) => path.endsWith('.md'));
  return all.filter((path) => readdirSync(join(root, path, '..')).includes(relative(join(path, '..'), path)));
}

function blocksOf(text: string, page: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  for (const match of text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
    let above = text.slice(0, match.index);
    const notRun = NOT_RUN.exec(above)?.[1] ?? null;
    above = above.replace(NOT_RUN, '');
    const before = BEFORE.exec(above)?.[1] ?? '';
    const line = text.slice(0, match.index).split('\n').length;
    blocks.push({ place: `${page}:${line}`, code: `${before}${match[1]}`, notRun });
  }
  return blocks;
}
