/** What `npm run check` looks at, one step each; `npm test` runs them beside the tests. */
import { join } from 'node:path';
import { checkRooms } from './check-rooms.mjs';
import { ROOT, bin, must } from './commands.mjs';
import { PACKAGES } from './packages.mjs';

/** @type {readonly { name: string, run: () => Promise<void> }[]} */
export const CHECKS = [
  step('format', 'Run npm run fix.', 'biome', ['format', '.'], ROOT),
  step('lint', 'The findings are above.', 'oxlint', ['--type-aware', '--deny-warnings', '.'], ROOT),
  { name: 'rooms and their imports', run: checkRooms },
  ...PACKAGES.flatMap((name) => {
    const folder = join(ROOT, 'packages', name);
    return [
      step(`types of ${name}`, 'The errors are above.', 'tsc', ['-p', 'tsconfig.test.json'], folder),
      step(`manifest of ${name}`, 'The findings are above.', 'publint', ['--pack', 'npm'], folder),
    ];
  }),
  step(
    'types of the page',
    'The errors are above.',
    'tsc',
    ['-p', 'tsconfig.page.json'],
    join(ROOT, 'packages/engine'),
  ),
  step(
    'types of the browser example',
    'The errors are above.',
    'tsc',
    ['-p', 'tsconfig.json'],
    join(ROOT, 'examples', 'browser-router'),
  ),
];

function step(name, advice, command, args, cwd) {
  return { name, run: () => must(`The check of ${name}`, advice, bin(command), args, { cwd, quiet: true }) };
}
