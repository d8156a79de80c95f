import assert from 'node:assert/strict';
import { BackendUnavailableError } from '@switchyard/gpu';
import { type LookedAtSystem, assertGpuPresent } from '../../../src/runners/hip/gpu-presence.ts';

/** A Linux machine with these files, and cards as vendor and class. */
function machine(files: readonly string[], cards: readonly (readonly [string, string])[] = []): LookedAtSystem {
  return {
    platform: 'linux',
    environment: {},
    exists: (file) => files.includes(file),
    list: () => cards.map((_, index) => `0000:00:0${index}.0`),
    read: (file) => {
      const [vendor = '', kind = ''] = cards[Number(/0(\d)\.0/.exec(file)?.[1])] ?? [];
      return `${file.endsWith('vendor') ? vendor : kind}\n`;
    },
  };
}

const NETWORK = ['0x1af4', '0x020000'] as const;

describe('the look for a GPU before any library is loaded', () => {
  it('finds none on a machine that has neither a driver nor a card, and says what to do', () => {
    for (const cards of [[], [NETWORK], [['0x1002', '0x040300'] as const]]) {
      assert.throws(
        () => assertGpuPresent(machine(['/dev/null'], cards)),
        (error) => {
          assert.ok(error instanceof BackendUnavailableError);
          assert.match(error.message, /no AMD or NVIDIA GPU · found .* · .*--runner hip/);
          return true;
        },
      );
    }
  });

  it('leaves the answer to the drivers where there is one of their files', () => {
    for (const file of ['/dev/kfd', '/dev/nvidiactl', '/dev/dxg', '/dev/nvgpu']) assertGpuPresent(machine([file]));
  });

  it('leaves it to them where there is a card: its driver makes its files when it is asked', () => {
    assertGpuPresent(machine([], [NETWORK, ['0x10de', '0x030200']]));
    assertGpuPresent(machine([], [['0x1002', '0x120000']]));
  });

  it('leaves it to them where it cannot know', () => {
    assertGpuPresent({ ...machine([]), platform: 'win32' });
    assertGpuPresent({ ...machine([]), environment: { ROCM_PATH: '/somewhere' } });
    const list = (): never => {
      throw new Error('not to be read');
    };
    assertGpuPresent({ ...machine([]), list });
  });
});
