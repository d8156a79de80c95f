/**
 * Markdown of a model as nodes of the page. Nobody vouches for what a model writes: it may repeat what a web page or a
 * document told it. Markup in it is text, but for a few bare tags that Markdown has no other way for; images are links,
 * so that none is loaded; and what is left goes through DOMPurify before it is a node.
 */

import { button, element } from './elements.mjs';
import { Marked } from './vendor/marked.mjs';
import DOMPurify from './vendor/purify.mjs';

/** Tags that answers use inside tables and formulas: without attributes, so that they carry nothing. */
const BARE_TAG = /^<\/?(?:br|sub|sup|kbd|b|i|u|em|strong|mark)\s*\/?>$/i;

const ALLOWED_TAGS =
  'a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i kbd li mark ol p pre strong sub sup table tbody td th thead tr u ul';
const SANITISED = {
  ALLOWED_TAGS: [...ALLOWED_TAGS.split(' '), '#text'],
  ALLOWED_ATTR: ['href', 'title', 'class', 'align', 'start'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  // Words and numbers, no addresses.
  ADD_URI_SAFE_ATTR: ['align', 'start'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: /** @type {const} */ (true),
};
/** The only classes: names of languages, for the head of code. */
const LANGUAGE_CLASS = /^language-[\w+#.-]{1,40}$/;

/** @param {string} text */
const escaped = (text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const marked = new Marked({
  gfm: true,
  renderer: {
    html({ text, block }) {
      const shown = BARE_TAG.test(text.trim()) ? text : escaped(text);
      return block ? `<p>${shown}</p>\n` : shown;
    },
    image({ href, text }) {
      return `<a href="${escaped(href)}">${escaped(text === '' ? href : text)}</a>`;
    },
    checkbox({ checked }) {
      return checked ? '☑ ' : '☐ ';
    },
  },
});

/** @typedef {import('./vendor/marked.mjs').Token} Token */

/**
 * The blocks of a text.
 *
 * @param {string} text
 * @returns {readonly Token[]}
 */
export const blocksOf = (text) => marked.lexer(text);

/**
 * Blocks as nodes.
 *
 * @param {readonly Token[]} blocks
 * @returns {DocumentFragment}
 */
export function nodesOf(blocks) {
  const nodes = DOMPurify.sanitize(marked.parser([...blocks]), SANITISED);
  for (const link of nodes.querySelectorAll('a')) finishLink(link);
  for (const named of nodes.querySelectorAll('[class]')) {
    if (named.tagName !== 'CODE' || !LANGUAGE_CLASS.test(named.className)) named.removeAttribute('class');
  }
  for (const code of nodes.querySelectorAll('pre')) code.replaceWith(codeBlock(code));
  for (const table of nodes.querySelectorAll('table')) table.replaceWith(scrolling(table, 'table'));
  return nodes;
}

/** @param {HTMLAnchorElement} link */
function finishLink(link) {
  if (!link.hasAttribute('href')) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.target = '_blank';
  link.rel = 'noopener noreferrer nofollow';
  // Where a link goes is seen before it is followed.
  if (!link.hasAttribute('title')) link.title = link.href;
}

/**
 * A box that scrolls by itself, by keyboard too, so that the page never does sideways.
 *
 * @param {HTMLElement} content
 * @param {string} name
 */
function scrolling(content, name) {
  const box = element('div', 'scrolling', [], { tabindex: '0', role: 'region', 'aria-label': name });
  box.append(content.cloneNode(true));
  return box;
}

/**
 * Code under its language and a button that copies it: `copyCodeOf` is what pressing it means.
 *
 * @param {HTMLPreElement} pre
 */
function codeBlock(pre) {
  const language = pre.querySelector('code')?.className.replace('language-', '') ?? '';
  const name = language === '' ? 'code' : language;
  const head = element('div', 'code-head', [element('span', '', [name]), button('Copy', 'copy-code')]);
  return element('div', 'code', [head, scrolling(pre, `${name}, as code`)]);
}

/**
 * The code whose copy button was pressed; null where something else was.
 *
 * @param {Element} pressed
 * @returns {{ readonly pressed: Element, readonly text: string } | null}
 */
export function copyCodeOf(pressed) {
  const found = pressed.closest('.copy-code');
  const text = found?.closest('.code')?.querySelector('code')?.textContent;
  return found === null || text == null ? null : { pressed: found, text };
}
