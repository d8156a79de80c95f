/** Puts the page together. */

import { Chat } from './chat.mjs';
import { copyFrom } from './clipboard.mjs';
import { Composer } from './composer.mjs';
import { showConversations } from './conversation-list.mjs';
import { ConversationStore } from './conversation-store.mjs';
import { byId } from './elements.mjs';
import { ExpertPanel } from './expert-panel.mjs';
import { FollowEnd } from './follow-end.mjs';
import { copyCodeOf } from './markdown.mjs';
import { watchServerState } from './server-state.mjs';
import { SettingsDialog } from './settings-dialog.mjs';
import { loadSettings, storeSettings } from './settings.mjs';
import { SidePanel } from './side-panel.mjs';

/** Room for a panel beside the conversation, as layout.css has it. */
const ROOM_FOR_CONVERSATIONS = '(min-width: 60rem)';
const ROOM_FOR_EXPERTS = '(min-width: 75rem)';

const log = byId('log', HTMLElement);
const turns = byId('turns', HTMLDivElement);
const empty = byId('empty', HTMLDivElement);
const effort = byId('effort', HTMLSelectElement);
const trace = byId('trace', HTMLInputElement);
const question = byId('question', HTMLTextAreaElement);

let settings = loadSettings();
const store = await ConversationStore.open();
const experts = new ExpertPanel();
const panels = [new SidePanel('conversations', ROOM_FOR_CONVERSATIONS), new SidePanel('experts', ROOM_FOR_EXPERTS)];
const settingsDialog = new SettingsDialog((saved) => change(saved));
const { check } = watchServerState(byId('state', HTMLSpanElement));

const composer = new Composer(
  { form: byId('form', HTMLFormElement), field: question, send: byId('send', HTMLButtonElement) },
  { send: (text) => chat.send(text), stop: () => chat.stop() },
);
const chat = new Chat({
  turns,
  follow: new FollowEnd(log, byId('latest', HTMLButtonElement)),
  composer,
  experts,
  settings: () => settings,
  store: async (conversation) => {
    const isKept = await store.put(conversation);
    if (!isKept) sayThatNothingLasts();
  },
  shown: ({ entries }) => {
    empty.hidden = entries.length > 0;
    listConversations();
  },
  announce: (text) => {
    byId('announcer', HTMLParagraphElement).textContent = text;
  },
  usage: (text) => {
    byId('usage', HTMLParagraphElement).textContent = text;
  },
  failed: check,
});

/** @param {Partial<import('./settings.mjs').Settings>} changed */
function change(changed) {
  settings = { ...settings, ...changed };
  storeSettings(settings);
  showSettings();
}

function showSettings() {
  effort.value = settings.effort;
  trace.checked = settings.trace;
  document.documentElement.dataset['theme'] = settings.theme;
  experts.redraw();
}

function sayThatNothingLasts() {
  byId('storage-note', HTMLParagraphElement).textContent =
    'This browser keeps nothing for the page: conversations are gone when it is closed.';
}

function listConversations() {
  showConversations(byId('conversation-list', HTMLUListElement), store.all, chat.id, {
    open: (id) => void openChat(id),
    remove: (id) => void removeChat(id),
  });
}

/** @param {string} [id] a new chat where none is given */
async function openChat(id) {
  await chat.open(id === undefined ? undefined : store.get(id));
  for (const panel of panels) if (panel.isOver) panel.close();
  composer.focus();
}

/** @param {string} id */
async function removeChat(id) {
  if (id === chat.id) await chat.open();
  await store.remove(id);
  listConversations();
}

byId('new-chat', HTMLButtonElement).addEventListener('click', () => void openChat());
for (const suggestion of byId('suggestions', HTMLDivElement).querySelectorAll('button')) {
  suggestion.addEventListener('click', () => chat.send(suggestion.textContent ?? ''));
}
effort.addEventListener('change', () => {
  change({ effort: /** @type {import('./settings.mjs').Settings['effort']} */ (effort.value) });
});
trace.addEventListener('change', () => change({ trace: trace.checked }));
byId('open-settings', HTMLButtonElement).addEventListener('click', () => settingsDialog.open(settings));
log.addEventListener('click', ({ target }) => {
  const code = target instanceof Element ? copyCodeOf(target) : null;
  if (code !== null) void copyFrom(code.pressed, code.text);
});
document.addEventListener('keydown', (event) => {
  // A dialog that is open is what Escape closes.
  if (event.key !== 'Escape' || document.querySelector('dialog[open]') !== null) return;
  const over = panels.find(({ isOver }) => isOver);
  if (over === undefined) chat.stop();
  else over.close();
});

showSettings();
if (!store.lasts) sayThatNothingLasts();
await chat.open();
void experts.end();
