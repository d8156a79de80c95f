/** The dialog that changes settings. */

import { byId } from './elements.mjs';
import { settingsOf, toolsProblem } from './settings.mjs';

/** @typedef {import('./settings.mjs').Settings} Settings */

export class SettingsDialog {
  #dialog = byId('settings', HTMLDialogElement);
  #temperature = byId('temperature', HTMLInputElement);
  #maxTokens = byId('max-tokens', HTMLInputElement);
  #system = byId('system', HTMLTextAreaElement);
  #tools = byId('tools', HTMLTextAreaElement);
  #toolsError = byId('tools-error', HTMLParagraphElement);
  #theme = byId('theme', HTMLSelectElement);

  /** What the settings were when the dialog was opened. @type {Settings | null} */
  #before = null;

  /** @param {(settings: Settings) => void} save called with what a person saved */
  constructor(save) {
    byId('cancel-settings', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
    byId('settings-form', HTMLFormElement).addEventListener('submit', (event) => {
      const problem = toolsProblem(this.#tools.value);
      this.#toolsError.textContent = problem;
      if (problem !== '') {
        event.preventDefault();
        this.#tools.focus();
        return;
      }
      save(settingsOf({ ...this.#before, ...this.#written() }));
    });
  }

  /** @param {Settings} settings as they are now */
  open(settings) {
    const { temperature, maxTokens, system, tools, theme } = settings;
    this.#before = settings;
    this.#temperature.value = String(temperature);
    this.#maxTokens.value = maxTokens === null ? '' : String(maxTokens);
    this.#system.value = system;
    this.#tools.value = tools;
    this.#toolsError.textContent = '';
    this.#theme.value = theme;
    this.#dialog.showModal();
  }

  #written() {
    return {
      temperature: this.#temperature.valueAsNumber,
      maxTokens: this.#maxTokens.value === '' ? null : this.#maxTokens.valueAsNumber,
      system: this.#system.value,
      tools: this.#tools.value,
      theme: this.#theme.value,
    };
  }
}
