/** Makes a part of the page equal to new nodes by the smallest change, so that what stays keeps its selection and focus. */

/**
 * Makes the children of `place` after `anchor` equal to those of `wanted`.
 *
 * @param {Node} place
 * @param {Node | null} anchor the last child that stays as it is; null for none
 * @param {Node} wanted loses the children that are put in
 * @param {Node | null} [end] the first child behind them that stays as it is; null for none
 */
export function patchChildren(place, anchor, wanted, end = null) {
  let old = anchor === null ? place.firstChild : anchor.nextSibling;
  let next = wanted.firstChild;
  while (next !== null) {
    const following = next.nextSibling;
    if (old === null || old === end) {
      place.insertBefore(next, end);
    } else {
      const after = old.nextSibling;
      patchNode(old, next);
      old = after;
    }
    next = following;
  }
  while (old !== null && old !== end) {
    const after = old.nextSibling;
    old.remove();
    old = after;
  }
}

/**
 * @param {ChildNode} old
 * @param {ChildNode} wanted
 */
function patchNode(old, wanted) {
  if (old instanceof Text && wanted instanceof Text) {
    if (wanted.data.startsWith(old.data)) {
      const more = wanted.data.slice(old.data.length);
      if (more !== '') old.appendData(more);
    } else {
      old.data = wanted.data;
    }
  } else if (old instanceof Element && wanted instanceof Element && haveEqualTags(old, wanted)) {
    patchChildren(old, null, wanted);
  } else {
    old.replaceWith(wanted);
  }
}

/**
 * @param {Element} first
 * @param {Element} second
 */
function haveEqualTags(first, second) {
  if (first.nodeName !== second.nodeName || first.attributes.length !== second.attributes.length) return false;
  return [...first.attributes].every(({ name, value }) => second.getAttribute(name) === value);
}
