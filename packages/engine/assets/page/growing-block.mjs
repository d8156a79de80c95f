/** Lists and tables that grow at their end: the rows that they have already need not be made again. */

/** @typedef {import('./markdown.mjs').Token} Token */
/** @typedef {import('./vendor/marked.mjs').Tokens.List} List */
/** @typedef {import('./vendor/marked.mjs').Tokens.Table} Table */

/**
 * @param {Token | undefined} block
 * @returns {block is List}
 */
const isList = (block) => block?.type === 'list';

/**
 * @param {Token | undefined} block
 * @returns {block is Table}
 */
const isTable = (block) => block?.type === 'table';

/**
 * What of a list or a table has to be the same for its nodes to stay.
 *
 * @typedef {object} Growth
 * @property {number} start where the block begins in the text
 * @property {string} head what all rows have in common
 * @property {readonly string[]} rows the text of each
 */

/**
 * @param {Token | undefined} block
 * @param {number} start
 * @returns {Growth | null} null for what has no rows
 */
export function growthOf(block, start) {
  if (isList(block)) {
    const { ordered, start: first, loose, items } = block;
    return { start, head: `list ${ordered} ${first} ${loose}`, rows: items.map(({ raw }) => raw) };
  }
  if (isTable(block)) {
    const { header, align, rows } = block;
    const lineOf = (/** @type {readonly { text: string }[]} */ cells) => JSON.stringify(cells.map(({ text }) => text));
    return { start, head: `table ${align.join()} ${lineOf(header)}`, rows: rows.map(lineOf) };
  }
  return null;
}

/**
 * How many rows are what they were: all but the last one, which may have grown. 0 where the block is another one.
 *
 * @param {Growth | null} before
 * @param {Growth | null} now
 */
export function keptRows(before, now) {
  if (before === null || now === null || before.start !== now.start || before.head !== now.head) return 0;
  const kept = before.rows.length - 1;
  return kept > 0 && before.rows.slice(0, kept).every((row, index) => row === now.rows[index]) ? kept : 0;
}

/**
 * A list or a table without its first rows.
 *
 * @param {Token} block
 * @param {number} count
 * @returns {Token}
 */
export function withoutRows(block, count) {
  if (isList(block)) return { ...block, items: block.items.slice(count) };
  return isTable(block) ? { ...block, rows: block.rows.slice(count) } : block;
}

/**
 * The element that has the rows of a list or a table as its children.
 *
 * @param {Element | null} shown what the block is shown as
 */
export const rowsPlace = (shown) => shown?.querySelector(':scope > table > tbody') ?? shown;
