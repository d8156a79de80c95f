/** `router-kernel devices`: which backends and GPUs can run here, and why the others cannot. */

import { type GpuReport, probeBackends } from '../probe-backends.ts';
import { defineCommand } from './command.ts';

export const devicesCommand = defineCommand({
  summary: 'Show which backends and GPUs can run here, and why the others cannot.',
  options: {
    json: { type: 'boolean', description: 'Print one JSON object.' },
  },
  run: async ({ json }, io) => {
    const reports = await probeBackends();
    if (json) {
      io.out(`${JSON.stringify({ backends: reports })}\n`);
      return 0;
    }
    const indent = ' '.repeat(8);
    for (const { backend, device, reason, tried, devices, variables } of reports) {
      io.out(`${backend.padEnd(6)}  ${device ?? `not available. ${reason ?? ''}`}\n`);
      for (const gpu of devices) io.out(`${indent}${describeGpu(gpu)}\n`);
      if (variables.length > 0) io.out(`${indent}set: ${variables.join(', ')}\n`);
      for (const attempt of tried) io.out(`${indent}tried ${attempt}\n`);
    }
    return 0;
  },
});

/** One line of the list, such as `amd:1     AMD Instinct MI300X, gfx942, 192.0 GiB, the default`. */
export function describeGpu({ id, name, architecture, memoryBytes, isIntegrated, isDefault }: GpuReport): string {
  const notes = [
    `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`,
    ...(isIntegrated ? ['integrated'] : []),
    ...(isDefault ? ['the default'] : []),
  ];
  return `${id.padEnd(9)} ${name}, ${architecture}, ${notes.join(', ')}`;
}
