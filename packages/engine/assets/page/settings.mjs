/** How answers are asked for and how the page looks, kept in this browser. */

/**
 * @typedef {object} Settings
 * @property {number} temperature 0 to 2
 * @property {number | null} maxTokens null: what the context leaves
 * @property {string} system the system prompt; empty for none
 * @property {string} tools a JSON array as chat completions take it; empty for none
 * @property {'low' | 'medium' | 'high'} effort
 * @property {'system' | 'light' | 'dark'} theme
 * @property {boolean} trace whether answers come with each token's experts
 */

const KEY = 'settings';
const EFFORTS = /** @type {const} */ (['low', 'medium', 'high']);
const THEMES = /** @type {const} */ (['system', 'light', 'dark']);

/**
 * Settings of what was stored, with the defaults for what is missing or no setting.
 *
 * @param {unknown} stored
 * @returns {Settings}
 */
export function settingsOf(stored) {
  const { temperature, maxTokens, system, tools, effort, theme, trace } = /** @type {Record<string, unknown>} */ (
    typeof stored === 'object' && stored !== null ? stored : {}
  );
  return {
    temperature: typeof temperature === 'number' && temperature >= 0 && temperature <= 2 ? temperature : 0,
    maxTokens: typeof maxTokens === 'number' && Number.isInteger(maxTokens) && maxTokens >= 1 ? maxTokens : null,
    system: typeof system === 'string' ? system : '',
    tools: typeof tools === 'string' && toolsProblem(tools) === '' ? tools : '',
    effort: EFFORTS.find((known) => known === effort) ?? 'medium',
    theme: THEMES.find((known) => known === theme) ?? 'system',
    trace: trace === true,
  };
}

/** @returns {Settings} */
export function loadSettings() {
  try {
    return settingsOf(JSON.parse(localStorage.getItem(KEY) ?? 'null'));
  } catch {
    return settingsOf(null);
  }
}

/**
 * Keeps settings where the browser lets the page; elsewhere they live as long as the page.
 *
 * @param {Settings} settings
 */
export function storeSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Full, or closed to the page: nothing that a person could mend here.
  }
}

/**
 * What is wrong with a list of tools, in words; empty where nothing is.
 *
 * @param {string} json
 */
export function toolsProblem(json) {
  if (json.trim() === '') return '';
  /** @type {unknown} */
  let tools;
  try {
    tools = JSON.parse(json);
  } catch (error) {
    return `The tools are no JSON · found ${error instanceof Error ? error.message : String(error)} · correct them, or leave them empty`;
  }
  const isTool = (/** @type {unknown} */ tool) =>
    typeof tool === 'object' && tool !== null && 'type' in tool && tool.type === 'function' && 'function' in tool;
  if (Array.isArray(tools) && tools.every(isTool)) return '';
  return 'The tools are no list of functions · give [{"type": "function", "function": {"name": …, "parameters": …}}]';
}

/**
 * The fields of a request that settings decide.
 *
 * @param {Settings} settings
 */
export function requestFields({ temperature, maxTokens, tools, effort, trace }) {
  return {
    temperature,
    reasoning_effort: effort,
    ...(maxTokens === null ? {} : { max_completion_tokens: maxTokens }),
    ...(tools.trim() === '' ? {} : { tools: JSON.parse(tools) }),
    ...(trace ? { return_routed_experts: true } : {}),
  };
}
