import { InvalidToolNameError } from '../../errors.ts';

/** The namespace of the application's functions. */
export const FUNCTIONS_NAMESPACE = 'functions';

/** The arguments of a call that has none: harmony's are JSON. */
export const NO_ARGUMENTS = '{}';

const TOOL_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Whether a name can stand in a header: 1 to 64 characters out of `A-Z a-z 0-9 _ -`. */
export function isToolName(name: string): boolean {
  return TOOL_NAME.test(name);
}

/** Returns the name with its namespace, `functions.NAME`. Throws InvalidToolNameError. */
export function qualifiedToolName(name: string): string {
  if (!isToolName(name)) throw new InvalidToolNameError(name);
  return `${FUNCTIONS_NAMESPACE}.${name}`;
}

/** Namespaces of the tools that GPT-OSS was trained with, none of which runs here. */
const BUILT_IN_NAMESPACES: ReadonlySet<string> = new Set(['browser', 'python', 'container']);

/**
 * The tool that a recipient as the model wrote it means, or null if there is none. The namespace falls away, whether it
 * is `functions` or one that the model made up. `browser.search` and the like mean the model's built-in tools and never
 * an application's function of the same name, as in vLLM; a bare `python` is the function of that name.
 *
 * @param declared The names that can be called, or null: any.
 */
export function toolNameOfRecipient(recipient: string, declared: ReadonlySet<string> | null = null): string | null {
  const path = recipient.split('.');
  while (path.length > 1 && path[0] === FUNCTIONS_NAMESPACE) path.shift();
  const name = path.at(-1) ?? '';
  if (path.length > 1 && BUILT_IN_NAMESPACES.has(path[0] ?? '')) return null;
  return isToolName(name) && (declared === null || declared.has(name)) ? name : null;
}
