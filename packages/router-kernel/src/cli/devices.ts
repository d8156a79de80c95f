/** `router-kernel devices`: which backends can run here, and why the others cannot. */

import { probeBackends } from '../probe-backends.ts';
import { defineCommand } from './command.ts';

export const devicesCommand = defineCommand({
  summary: 'Show which backends can run here, and why the others cannot.',
  options: {
    json: { type: 'boolean', description: 'Print one JSON object.' },
  },
  run: async ({ json }, io) => {
    const reports = await probeBackends();
    if (json) {
      io.out(`${JSON.stringify({ backends: reports })}\n`);
      return 0;
    }
    for (const { backend, device, reason, tried } of reports) {
      io.out(`${backend.padEnd(6)}  ${device ?? `not available. ${reason ?? ''}`}\n`);
      for (const attempt of tried) io.out(`${' '.repeat(8)}tried ${attempt}\n`);
    }
    return 0;
  },
});
