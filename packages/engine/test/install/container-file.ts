/**
 * The steps of the Dockerfile, done without a container engine: each stage has a folder in place of its root, paths that
 * the file names lead into it, and commands run in a shell of this machine.
 */

import { cp, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { must } from './packed-packages.ts';

/** What one stage leaves. */
export interface Stage {
  /** The folder that stands for `/`. */
  readonly root: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** The command of the health check; empty where there is none. */
  readonly healthCheck: string;
  readonly user: string;
}

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** The instructions of a Dockerfile, by the names of its stages, in order. */
export function readStages(text: string): Map<string, Instruction[]> {
  const stages = new Map<string, Instruction[]>();
  let current: Instruction[] | null = null;
  const joined = text.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n\s*/g, '');
  for (const line of joined.split('\n').filter((each) => each.trim() !== '')) {
    const [name = '', ...words] = line.trim().split(/\s+/);
    if (name === 'FROM') {
      current = [];
      stages.set(words.at(-1) ?? '', current);
    } else if (current !== null) current.push({ name, rest: line.trim().slice(name.length).trim() });
  }
  return stages;
}

/** A path in a stage, as this machine has it. */
const within = (root: string, path: string): string => join(root, path);

/** Does one stage. `done` are the stages before it; `context` is the folder that is sent to be built. */
export async function runStage(
  instructions: readonly Instruction[],
  root: string,
  context: string,
  done: ReadonlyMap<string, Stage>,
): Promise<Stage> {
  let folder = '/';
  const variables: Record<string, string> = {};
  let entrypoint: readonly string[] = [];
  let command: readonly string[] = [];
  let healthCheck = '';
  let user = '';
  const known = new Set<string>();
  // Longest first: /app/node_modules is no path behind /app of this machine.
  const translated = (text: string): string =>
    [...known]
      .sort((a, b) => b.length - a.length)
      .reduce(
        (result, path) => result.replaceAll(new RegExp(`(?<![\\w.])${path}(?![\\w-])`, 'g'), within(root, path)),
        text,
      );
  await mkdir(root, { recursive: true });
  for (const { name, rest } of instructions) {
    if (name === 'WORKDIR') {
      folder = rest;
      known.add(rest);
      await mkdir(within(root, rest), { recursive: true });
    } else if (name === 'COPY') {
      const words = rest.split(/\s+/);
      const from = words[0]?.startsWith('--from=') === true ? (words.shift() ?? '').slice('--from='.length) : null;
      const [source = '', target = ''] = words;
      const base = from === null ? context : done.get(from)?.root;
      if (base === undefined) throw new Error(`COPY of the stage ${from}, which was not done`);
      const to = target === '.' ? folder : target;
      known.add(to);
      await mkdir(dirname(within(root, to)), { recursive: true });
      await cp(join(base, source), within(root, to), { recursive: true, verbatimSymlinks: true });
    } else if (name === 'ENV') {
      for (const [, key = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) {
        variables[key] = value;
        if (value.startsWith('/') && !value.includes(':')) known.add(value);
      }
    } else if (name === 'RUN') {
      for (const [, path = ''] of rest.matchAll(/\s(\/[a-z]+)\b/g)) known.add(path);
      await must(within(root, folder), 'sh', '-c', `${exported(variables, translated)}${translated(rest)}`);
    } else if (name === 'HEALTHCHECK') healthCheck = translated(rest.slice(rest.indexOf('CMD') + 'CMD'.length).trim());
    else if (name === 'ENTRYPOINT') entrypoint = JSON.parse(rest) as string[];
    else if (name === 'CMD') command = JSON.parse(rest) as string[];
    else if (name === 'USER') user = rest;
    else if (name !== 'VOLUME' && name !== 'EXPOSE')
      throw new Error(`The Dockerfile has ${name}, which is not known here`);
  }
  const here = Object.fromEntries(Object.entries(variables).map(([key, value]) => [key, translated(value)]));
  return { root, variables: here, entrypoint, command, healthCheck, user };
}

const exported = (variables: Readonly<Record<string, string>>, translated: (text: string) => string): string =>
  Object.entries(variables)
    .map(([name, value]) => `export ${name}="${translated(value)}"; `)
    .join('');
