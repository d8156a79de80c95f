/** The saved conversations, to go on with or to delete. */

import { button, element } from './elements.mjs';

/** @typedef {import('./conversation.mjs').Conversation} Conversation */

/**
 * Shows the conversations in a list.
 *
 * @param {HTMLElement} list
 * @param {readonly Conversation[]} conversations
 * @param {string} current the id of the one that is open
 * @param {{ open: (id: string) => void, remove: (id: string) => void }} actions
 */
export function showConversations(list, conversations, current, actions) {
  const shown = JSON.stringify([current, ...conversations.flatMap(({ id, title }) => [id, title])]);
  // Whoever is in the list keeps their place.
  if (list.dataset['shown'] === shown) return;
  list.dataset['shown'] = shown;
  list.replaceChildren(
    ...conversations.map(({ id, title }) => {
      const name = title === '' ? 'New chat' : title;
      const open = button(name, 'conversation', () => actions.open(id));
      if (id === current) open.setAttribute('aria-current', 'true');
      const remove = button('✕', 'remove', () => {
        if (confirm(`Delete “${name}”? There is no way back.`)) actions.remove(id);
      });
      remove.setAttribute('aria-label', `Delete ${name}`);
      return element('li', '', [open, remove]);
    }),
  );
}
