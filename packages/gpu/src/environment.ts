/**
 * What is asked of the surroundings of the process. Where asking fails, it is as if nothing were there: a user without
 * an entry in the password file has no home folder, a sandbox may refuse its variables, and neither stops a program.
 */

import { homedir } from 'node:os';

export { controlGroups, textOf } from './control-groups.ts';
export type { ControlGroup, GroupController, ReadText } from './control-groups.ts';
export { usableProcessors } from './processors.ts';
export type { ProcessorSources, UsableProcessors } from './processors.ts';

/** The environment's variables, as they are now; none where they may not be read. */
export function environmentVariables(): NodeJS.ProcessEnv {
  try {
    return { ...process.env };
  } catch {
    return {};
  }
}

/** The user's home folder; null where the system names none. */
export function homeFolder(): string | null {
  try {
    return homedir() || null;
  } catch {
    return null;
  }
}
