import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { type ProcessorSources, usableProcessors } from '../src/processors.ts';

/** A machine with these files, whose system call counts so many processors. */
function machine(
  parallel: number | (() => number),
  files: Readonly<Record<string, string>> = {},
  platform: NodeJS.Platform = 'linux',
): ProcessorSources {
  return {
    platform,
    availableParallelism: typeof parallel === 'number' ? () => parallel : parallel,
    readText: (path) => {
      const text = files[path];
      if (text === undefined) throw new Error(`ENOENT ${path}`);
      return text;
    },
  };
}

const fails = (): number => {
  throw new Error('A system error occurred');
};

/** Two threads a core: processors 0 to 3 are the cores, 4 to 7 their second threads. */
const SIBLINGS = Object.fromEntries(
  Array.from({ length: 8 }, (_, processor) => [
    `/sys/devices/system/cpu/cpu${processor}/topology/thread_siblings_list`,
    `${processor % 4},${(processor % 4) + 4}\n`,
  ]),
);
const allowed = (list: string): Record<string, string> => ({
  '/proc/self/status': `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed_list:\t0\n`,
});

describe('processors that this process may use', () => {
  const cases: readonly [string, ProcessorSources, number, number][] = [
    ['a machine without files', machine(8), 8, 8],
    ['another system', machine(10, { ...SIBLINGS, ...allowed('0-7') }, 'darwin'), 10, 10],
    ['two threads a core', machine(8, { ...SIBLINGS, ...allowed('0-7') }), 8, 4],
    ['an affinity with both threads of two cores', machine(4, { ...SIBLINGS, ...allowed('0-1,4-5') }), 4, 2],
    ['an affinity with one thread of each core', machine(4, { ...SIBLINGS, ...allowed('0-3') }), 4, 4],
    ['a processor without topology', machine(9, { ...SIBLINGS, ...allowed('0-8') }), 9, 9],
    [
      'a quota of version 2',
      machine(64, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '400000 100000\n' }),
      4,
      4,
    ],
    ['no quota', machine(64, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' }), 64, 64],
    [
      'a quota of two and a half',
      machine(64, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '250000 100000' }),
      2,
      2,
    ],
    ['a quota of a half', machine(64, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '50000 100000' }), 1, 1],
    [
      'the tightest quota of the groups above',
      machine(64, {
        '/proc/self/cgroup': '0::/batch/job\n',
        '/sys/fs/cgroup/batch/cpu.max': '300000 100000\n',
        '/sys/fs/cgroup/batch/job/cpu.max': '600000 100000\n',
      }),
      3,
      3,
    ],
    [
      'a quota of version 1',
      machine(64, {
        '/proc/self/cgroup': '5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n',
        '/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us': '200000\n',
        '/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us': '100000\n',
      }),
      2,
      2,
    ],
    [
      'no quota of version 1',
      machine(64, {
        '/proc/self/cgroup': '4:cpu,cpuacct:/\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      }),
      64,
      64,
    ],
    ['a system call that fails', machine(fails, { ...SIBLINGS, ...allowed('0-1,4-5') }), 4, 2],
    ['nobody who answers', machine(fails), 1, 1],
    ['a count that is none', machine(0), 1, 1],
  ];
  for (const [what, sources, threads, cores] of cases) {
    it(`are ${threads} threads on ${cores} cores with ${what}`, () => {
      assert.deepEqual(usableProcessors(sources), { threads, cores, performanceCores: cores });
    });
  }

  it('are whole numbers from 1 up, no more than any of those asked says, whatever the files hold', () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'max 1',
        '1 0',
        '-1',
        '0-',
        '5-1',
        '1e9 1',
        '0::/../..',
        '0-99999999999',
        'Cpus_allowed_list: 9-1',
      ),
    );
    const files = fc.dictionary(
      fc.constantFrom('/proc/self/cgroup', '/proc/self/status', '/sys/fs/cgroup/cpu.max', ...Object.keys(SIBLINGS)),
      text,
    );
    fc.assert(
      fc.property(files, fc.nat(128), (content, parallel) => {
        const { threads, cores } = usableProcessors(machine(parallel, content));
        assert.ok(Number.isInteger(threads) && threads >= 1 && (parallel === 0 || threads <= parallel));
        assert.ok(Number.isInteger(cores) && cores >= 1 && cores <= threads);
      }),
    );
  });

  it('are counted here', () => {
    const { threads, cores } = usableProcessors();
    assert.ok(threads >= cores && cores >= 1);
  });
});

/** Processors of recorded machines: the core of each, and how fast it is. */
const RECORDED: Readonly<Record<string, { readonly file: string; readonly processors: readonly [number, number][] }>> =
  {
    'Core i9-12900K: eight cores of two threads, eight small ones': {
      file: 'cpufreq/cpuinfo_max_freq',
      processors: [
        ...Array.from({ length: 16 }, (_, i): [number, number] => [i >> 1, i >> 1 < 6 ? 5_100_000 : 5_200_000]),
        ...Array.from({ length: 8 }, (_, i): [number, number] => [8 + i, 3_900_000]),
      ],
    },
    'RK3588: four small cores, four large ones': {
      file: 'cpu_capacity',
      processors: Array.from({ length: 8 }, (_, i): [number, number] => [i, i < 4 ? 530 : 1024]),
    },
    'Graviton 3: cores of one kind': {
      file: 'cpu_capacity',
      processors: Array.from({ length: 64 }, (_, i): [number, number] => [i, 1024]),
    },
    'EPYC 7763: two threads a core': {
      file: 'cpufreq/cpuinfo_max_freq',
      processors: Array.from({ length: 16 }, (_, i): [number, number] => [i % 8, 3_529_000]),
    },
  };

describe('performance cores', () => {
  for (const [name, { file, processors }] of Object.entries(RECORDED)) {
    const files = Object.fromEntries(
      processors.flatMap(([core, speed], processor) => {
        const folder = `/sys/devices/system/cpu/cpu${processor}`;
        const siblings = processors.flatMap(([other], index) => (other === core ? [index] : []));
        return [
          [`${folder}/topology/thread_siblings_list`, `${siblings.join()}\n`],
          [`${folder}/${file}`, `${speed}\n`],
        ];
      }),
    );

    it(`are those of the largest kind within the affinity: ${name}`, () => {
      const affinity = fc.subarray([...processors.keys()], { minLength: 1 });
      fc.assert(
        fc.property(affinity, (own) => {
          const usable = usableProcessors(machine(own.length, { ...files, ...allowed(own.join()) }));
          const cores = new Map(own.map((processor) => processors[processor] ?? [0, 0]));
          const isLarge = (speed: number): boolean => speed > 0.9 * Math.max(...cores.values());
          assert.equal(usable.cores, cores.size);
          assert.equal(usable.performanceCores, [...cores.values()].filter(isLarge).length);
        }),
      );
    });
  }

  it('are all cores where the speed of one is not told', () => {
    const files = { ...SIBLINGS, ...allowed('0-7'), '/sys/devices/system/cpu/cpu0/cpu_capacity': '1024\n' };
    assert.deepEqual(usableProcessors(machine(8, files)), { threads: 8, cores: 4, performanceCores: 4 });
  });
});
