/** Copying, where the browser lets the page, and by a selection where it does not: on plain HTTP there is no clipboard. */

/** How long a button says that it has copied, in milliseconds. */
const SAYS_MS = 1500;

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it was copied
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const field = document.createElement('textarea');
  const focused = document.activeElement;
  field.className = 'unseen';
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}

/**
 * Copies, and says so on the button.
 *
 * @param {Element} pressed
 * @param {string} text
 */
export async function copyFrom(pressed, text) {
  const said = pressed.textContent;
  pressed.textContent = (await copy(text)) ? 'Copied' : 'Not copied';
  setTimeout(() => {
    pressed.textContent = said;
  }, SAYS_MS);
}
