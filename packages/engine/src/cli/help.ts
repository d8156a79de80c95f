/**
 * Help texts and docs/cli.md, from the option table.
 */

import { type OptionRow, rangeOf } from './option-row.ts';
import { COMMANDS, type CommandRow } from './option-table.ts';

const EXIT_CODES = 'Exit codes: 0 done, 1 runtime error, 2 wrong usage.';

function signature({ name, type, value, choices }: OptionRow): string {
  if (type === 'flag') return `--${name}`;
  return `--${name} ${choices === undefined ? (value ?? 'VALUE') : choices.join('|')}`;
}

function meaning(row: OptionRow): string {
  const range = rangeOf(row);
  return range === null ? row.help : `${row.help} (${range})`;
}

/** What stands for an option that is left out. */
function defaultOf({ default: usual, variable }: OptionRow): string | undefined {
  return variable === undefined ? usual : [`$${variable}`, usual].filter(Boolean).join(', else ');
}

function description(row: OptionRow): string {
  const usual = defaultOf(row);
  return usual === undefined ? meaning(row) : `${meaning(row)}. Default: ${usual}`;
}

/** How a command is called. */
const usage = ({ name, words }: CommandRow): string =>
  `switchyard ${name}${words === undefined ? '' : ` [${words}]`} [options]`;

/** The help of the program. */
export function programHelp(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const commands = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n');
  return `Usage: switchyard COMMAND [options]\n\nCommands:\n${commands}\n\nswitchyard COMMAND --help tells a command's options, switchyard --version the version.\n${EXIT_CODES}\n`;
}

/** The help of one command. */
export function commandHelp(command: CommandRow): string {
  const width = Math.max(...command.options.map((row) => signature(row).length));
  const options = command.options.map((row) => `  ${signature(row).padEnd(width)}  ${description(row)}`).join('\n');
  return `Usage: ${usage(command)}\n\n${command.summary}.\n\nOptions:\n${options}\n\n${EXIT_CODES}\n`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** The text of docs/cli.md. */
export function commandLineDocument(): string {
  const sections = COMMANDS.map((command) => {
    const rows = command.options.map(
      (row) => `| \`${cell(signature(row))}\` | ${cell(meaning(row))} | ${cell(defaultOf(row) ?? '')} |`,
    );
    return `## switchyard ${command.name}\n\n\`${usage(command)}\`\n\n${command.summary}.\n\n| option | meaning | default |\n|---|---|---|\n${rows.join('\n')}\n`;
  });
  return [
    '# The switchyard command\n',
    'Made from the option table in packages/engine/src/cli/option-table.ts by `npm run docs`; do not edit.\n',
    `${EXIT_CODES} Errors say what happened, what was found and what to do.\n`,
    ...sections,
  ].join('\n');
}
