/**
 * How models are named: `OWNER/MODEL`, and after an `@` a revision, as in the `hf://` paths of Hugging Face's libraries.
 */

import { InvalidModelNameError } from './errors.ts';

/** A model on a hub. */
export interface ModelName {
  /** `OWNER/MODEL`. */
  readonly repository: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** The revision where none is named. */
export const DEFAULT_REVISION = 'main';

/** The longest repository name that the hub takes, in characters. */
const LONGEST_REPOSITORY = 96;

/** As the hub has it: letters, digits, `_`, `-` and `.`, no `-` or `.` at either end. */
const PART = /^\w(?:[\w.-]*\w)?$/;
/** A part of a revision: what git allows and needs no quoting in a path or an address. */
const REVISION_PART = /^[\w+-](?:[\w.+-]*[\w+-])?$/;

/**
 * Reads a name.
 *
 * @throws InvalidModelNameError
 */
export function parseModelName(text: string): ModelName {
  const at = text.indexOf('@');
  const repository = at === -1 ? text : text.slice(0, at);
  const revision = at === -1 ? DEFAULT_REVISION : text.slice(at + 1);
  const parts = repository.split('/');
  if (parts.length !== 2) throw new InvalidModelNameError(text, `it has ${parts.length - 1} slashes`);
  for (const part of parts) {
    // These two would make folders of the cache ambiguous, and the hub refuses them.
    if (!PART.test(part) || part.includes('--') || part.includes('..')) {
      throw new InvalidModelNameError(text, `${JSON.stringify(part)} cannot be a part of it`);
    }
  }
  if (repository.length > LONGEST_REPOSITORY) {
    throw new InvalidModelNameError(
      text,
      `it has ${repository.length} characters, at most ${LONGEST_REPOSITORY} can be`,
    );
  }
  if (!revision.split('/').every((part) => REVISION_PART.test(part) && !part.includes('..'))) {
    throw new InvalidModelNameError(text, `${JSON.stringify(revision)} cannot be a revision`);
  }
  return { repository, revision };
}

/** The name as text, without a revision that is the default. */
export function modelNameText({ repository, revision }: ModelName): string {
  return revision === DEFAULT_REVISION ? repository : `${repository}@${revision}`;
}
