/**
 * The process that checks a device. It is one of its own because what is not right may end it: a fault on the device ends an
 * AMD program, a kernel that hangs keeps its caller waiting in the driver, and what a process held is free after its end.
 */

import { openGpuDriver } from '@switchyard/gpu';
import { serializeError } from '../serialized-error.ts';
import { checkDevice } from './check-device.ts';
import type { CheckTask, FromCheck } from './check-protocol.ts';

const tell = (message: FromCheck): Promise<void> =>
  new Promise((resolve) => {
    // Nobody is left to hear it where the parent has gone.
    if (process.send === undefined) resolve();
    else process.send(message, () => resolve());
  });

async function check(task: CheckTask): Promise<void> {
  using driver = openGpuDriver(task.device === undefined ? {} : { device: task.device });
  await checkDevice(task, { driver, tell });
}

process.once('disconnect', () => process.exit(0));
process.once('message', (task: CheckTask) => {
  check(task)
    .catch((error: unknown) => tell({ type: 'failed', error: serializeError(error) }))
    .finally(() => process.exit(0));
});
