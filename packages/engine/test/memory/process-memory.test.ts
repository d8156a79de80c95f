import assert from 'node:assert/strict';
import { type MemorySources, processMemory } from '../../src/memory/process-memory.ts';

const GIB = 2 ** 30;

/** A Linux machine of 24 GiB, 20 GiB of it to be had, with these files beside /proc/meminfo. */
function machine(files: Readonly<Record<string, string>> = {}, changes: Partial<MemorySources> = {}): MemorySources {
  const all: Readonly<Record<string, string>> = {
    '/proc/meminfo': `MemTotal:       ${24 * 2 ** 20} kB\nMemFree:        1048576 kB\nMemAvailable:   ${20 * 2 ** 20} kB\n`,
    ...files,
  };
  return {
    platform: 'linux',
    totalmem: () => 24 * GIB,
    freemem: () => GIB,
    constrainedMemory: () => 0,
    availableMemory: () => GIB,
    residentBytes: () => GIB / 4,
    readText: (path) => {
      const text = all[path];
      if (text === undefined) throw new Error(`ENOENT ${path}`);
      return text;
    },
    pageStatistics: () => Promise.reject(new Error('ENOENT')),
    ...changes,
  };
}

const fails = (): never => {
  throw new Error('ERR_SYSTEM_ERROR');
};

/** A control group of version 2 with 8 GiB, 5 used, 2 of them files that can be dropped. */
const GROUP: Readonly<Record<string, string>> = {
  '/proc/self/cgroup': '0::/jobs/one\n',
  '/sys/fs/cgroup/jobs/one/memory.max': `${8 * GIB}\n`,
  '/sys/fs/cgroup/jobs/one/memory.high': 'max\n',
  '/sys/fs/cgroup/jobs/one/memory.current': `${5 * GIB}\n`,
  '/sys/fs/cgroup/jobs/one/memory.stat': `anon ${3 * GIB}\ninactive_file ${GIB}\nactive_file ${GIB}\n`,
};

const cases: readonly (readonly [what: string, sources: MemorySources, available: number, total: number])[] = [
  ['counts the page cache of the machine as free', machine(), 20, 24],
  ['takes what Node says where the system has no /proc', machine({}, { readText: fails }), 1, 24],
  ['takes a limit of 0 for none', machine({}, { constrainedMemory: () => 0 }), 20, 24],
  ['takes a limit of 2^64 for none', machine({}, { constrainedMemory: () => 18_446_744_073_709_552_000 }), 20, 24],
  ['takes a limit of 2^63 for none', machine({}, { constrainedMemory: () => 9_223_372_036_854_771_712 }), 20, 24],
  ['takes a limit above the machine for none', machine({}, { constrainedMemory: () => 32 * GIB }), 20, 24],
  ['leaves this process off a limit that is all it knows', machine({}, { constrainedMemory: () => 4 * GIB }), 3.75, 4],
  ['reads the limit of a control group, its page cache free', machine(GROUP), 5, 8],
  ['is not misled by the same limit from Node', machine(GROUP, { constrainedMemory: () => 8 * GIB }), 5, 8],
  ['takes the lower of two limits', machine(GROUP, { constrainedMemory: () => 2 * GIB }), 1.75, 2],
  [
    'takes the tightest of the groups above',
    machine({
      ...GROUP,
      '/sys/fs/cgroup/jobs/memory.max': `${6 * GIB}`,
      '/sys/fs/cgroup/jobs/memory.current': `${5.5 * GIB}`,
      '/sys/fs/cgroup/jobs/memory.stat': '',
    }),
    0.5,
    6,
  ],
  ['takes memory.high for a limit', machine({ ...GROUP, '/sys/fs/cgroup/jobs/one/memory.high': `${7 * GIB}` }), 4, 7],
  [
    'never has less than nothing left',
    machine({ ...GROUP, '/sys/fs/cgroup/jobs/one/memory.current': `${20 * GIB}` }),
    0,
    8,
  ],
  [
    'finds a limit at the root, where the path is that of the host',
    machine({
      '/proc/self/cgroup': '12:cpu,cpuacct:/docker/abc\n7:memory:/docker/abc\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${16 * GIB}`,
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${3 * GIB}`,
      '/sys/fs/cgroup/memory/memory.stat': `total_inactive_file ${GIB}\ntotal_active_file 0\n`,
    }),
    14,
    16,
  ],
  [
    'takes the number of version 1 that stands for no limit as none',
    machine({
      '/proc/self/cgroup': '7:memory:/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${23 * GIB}`,
    }),
    20,
    24,
  ],
  [
    'keeps to the root where the path leads out of the namespace',
    machine({ '/proc/self/cgroup': '0::/../../other', '/sys/fs/cgroup/memory.max': `${3 * GIB}` }),
    2.75,
    3,
  ],
  [
    'does without what Node 20.10 lacks',
    machine({}, { constrainedMemory: undefined, availableMemory: undefined }),
    20,
    24,
  ],
  [
    'goes around every call that throws',
    machine(GROUP, {
      totalmem: fails,
      freemem: fails,
      constrainedMemory: fails,
      availableMemory: fails,
      residentBytes: fails,
    }),
    5,
    8,
  ],
  [
    'takes what is left to ask for',
    machine({}, { readText: fails, totalmem: fails, freemem: () => Number.NaN, availableMemory: () => 2 * GIB }),
    2,
    2,
  ],
  [
    'counts the inactive pages of macOS',
    machine(
      {},
      {
        platform: 'darwin',
        readText: fails,
        pageStatistics: () =>
          Promise.resolve(
            'Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:                               65536.\nPages active:                            900000.\nPages inactive:                          131072.\nPages speculative:                        65536.\n',
          ),
      },
    ),
    4,
    24,
  ],
  ['takes what Node says where macOS has no vm_stat', machine({}, { platform: 'darwin', readText: fails }), 1, 24],
  ['takes what Node says on Windows', machine({}, { platform: 'win32', readText: fails }), 1, 24],
];

describe('the memory that this process may use', () => {
  for (const [what, sources, available, total] of cases) {
    it(what, async () => {
      assert.deepEqual(await processMemory(sources), { availableBytes: available * GIB, totalBytes: total * GIB });
    });
  }

  it('is unknown where nobody answers', async () => {
    const silent = machine({}, { readText: fails, totalmem: fails, freemem: fails, availableMemory: fails });
    assert.equal(await processMemory({ ...silent, constrainedMemory: undefined }), null);
  });

  it('is between nothing and all of it on this machine', async () => {
    const memory = await processMemory();
    assert.ok(memory !== null);
    assert.ok(memory.availableBytes >= 0 && memory.availableBytes <= memory.totalBytes);
  });
});
