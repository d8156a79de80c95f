/** Preloaded: what asks the system for its folders, its processors and its memory throws, as it does in odd containers. */

import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';

const fails = () => {
  throw Object.assign(new Error('A system error occurred'), { code: 'ERR_SYSTEM_ERROR' });
};

for (const name of [
  'homedir',
  'tmpdir',
  'freemem',
  'totalmem',
  'availableParallelism',
  'cpus',
  'userInfo',
  'hostname',
]) {
  os[name] = fails;
}
syncBuiltinESMExports();
process.constrainedMemory = fails;
process.availableMemory = fails;
process.memoryUsage.rss = fails;
