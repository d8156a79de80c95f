import { defineCommand, UsageError } from './command.ts';

export const compileCommand = defineCommand({
  summary: 'Not part of this build.',
  options: {},
  run: async () => {
    throw new UsageError('The command compile is not part of this build.');
  },
});
