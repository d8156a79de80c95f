/** Elements of the page: found by their id, and made. */

/**
 * The element of index.html with this id.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new TypeError(`index.html has no ${type.name} with the id ${id}`);
  return found;
}

/**
 * A new element with a class, its children and attributes.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className empty for none
 * @param {readonly (Node | string)[]} [children] strings become text, never markup
 * @param {Readonly<Record<string, string>>} [attributes]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, className, children = [], attributes = {}) {
  const made = document.createElement(tag);
  if (className !== '') made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * A button that does nothing by itself.
 *
 * @param {string} text
 * @param {string} className
 * @param {() => void} [onClick]
 */
export function button(text, className, onClick) {
  const made = element('button', className, [text], { type: 'button' });
  if (onClick !== undefined) made.addEventListener('click', onClick);
  return made;
}
