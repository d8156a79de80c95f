import { InvalidToolNameError } from '../../errors.ts';

/** The namespace of the application's functions. */
export const FUNCTIONS_NAMESPACE = 'functions';

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

/**
 * The tool that a recipient as the model wrote it means, or null if there is no usable name in it. The namespace falls
 * away, whether it is `functions` or one that the model made up.
 */
export function toolNameOfRecipient(recipient: string): string | null {
  const name = recipient.slice(recipient.lastIndexOf('.') + 1);
  return isToolName(name) ? name : null;
}
