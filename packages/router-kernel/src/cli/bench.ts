import { defineCommand, UsageError } from './command.ts';

export const benchCommand = defineCommand({
  summary: 'Not part of this build.',
  options: {},
  run: async () => {
    throw new UsageError('The command bench is not part of this build.');
  },
});
