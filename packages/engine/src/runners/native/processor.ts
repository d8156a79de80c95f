/** What this machine's processors can do. */

import { textOf } from '@switchyard/gpu/environment';
import type { ReadText } from '@switchyard/gpu/environment';

/**
 * The features that every processor of this machine has, as Linux names them in /proc/cpuinfo: those whose registers it
 * keeps, too. Empty where nothing tells.
 */
export function processorFeatures(readText: ReadText): ReadonlySet<string> {
  const text = textOf(readText, '/proc/cpuinfo') ?? '';
  const lists = [...text.matchAll(/^(?:flags|Features)\s*:(.*)$/gm)].map(([, list = '']) => new Set(list.split(/\s+/)));
  const [first = new Set<string>(), ...others] = lists;
  return new Set([...first].filter((feature) => feature !== '' && others.every((list) => list.has(feature))));
}
