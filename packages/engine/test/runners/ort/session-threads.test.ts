import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { usableProcessors } from '@switchyard/gpu/environment';
import fc from 'fast-check';
import { computeThreads, ownThreads } from '../../../src/runners/ort/session-threads.ts';

const PROGRAM = fileURLToPath(new URL('./thread-count-process.mjs', import.meta.url));

interface Counted {
  /** Threads that the loads added. */
  readonly added: number;
  /** Of each load. */
  readonly logits: readonly (readonly number[])[];
  readonly lines: readonly string[];
}

async function counted(command: string, ...words: string[]): Promise<Counted> {
  const { stdout } = await promisify(execFile)(command, words, { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout) as Counted;
}

const processors = fc
  .record({ threads: fc.integer({ min: 1, max: 256 }), share: fc.integer({ min: 1, max: 256 }) })
  .map(({ threads, share }) => ({ threads, cores: Math.min(threads, share), performanceCores: 1 }));

describe('threads of the ONNX Runtime runner', () => {
  it('are one a core that the process may use, or as many as are asked for and it may run at once', () => {
    fc.assert(
      fc.property(processors, fc.integer({ min: 1, max: 1024 }), (usable, asked) => {
        assert.equal(computeThreads(undefined, usable), usable.cores);
        assert.equal(computeThreads(asked, usable), Math.min(asked, usable.threads));
      }),
    );
  });

  it('without a common pool are bounded whatever the number of sessions, and no more than asked for', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1024 }), fc.integer({ min: 1, max: 4096 }), (threads, sessions) => {
        const own = ownThreads(threads, sessions);
        assert.ok(own >= 1 && own <= threads);
        assert.ok((own - 1) * sessions <= Math.max(128, 8 * threads));
      }),
    );
    assert.equal(ownThreads(2, 12), 2);
  });

  describe('in a process', () => {
    before(function (this: Mocha.Context) {
      if (process.platform !== 'linux') this.skip();
    });

    /** What Node and its worker threads may add in the meantime, such as threads of its pool. */
    const OF_NODE = 4;

    it('are those of one pool for all sessions, however many are asked for and loaded', async () => {
      const { threads } = usableProcessors();
      const { added, logits, lines } = await counted(process.execPath, PROGRAM, '512', 'default', '2');
      assert.ok(added <= threads - 1 + OF_NODE, `${added} threads more`);
      assert.match(lines.join('\n'), new RegExp(`found 512, this process may run ${threads} at once`));
      assert.deepEqual(logits[1], logits[0]);
      assert.deepEqual(logits[2], logits[0]);
    });

    it('are few of their own where onnxruntime-node was in use before, with the same results', async () => {
      const shared = await counted(process.execPath, PROGRAM, 'default');
      const own = await counted(process.execPath, PROGRAM, 'before', 'default');
      assert.deepEqual(own.logits, shared.logits);
      if (usableProcessors().cores > 1) assert.match(own.lines.join('\n'), /Sessions have no common pool/);
      assert.ok(own.added <= 128 + OF_NODE, `${own.added} threads more`);
    });

    it('are none beside its own where one processor is all that the process may use', async function () {
      const pinned = await counted('taskset', '-c', '0', process.execPath, PROGRAM, 'default').catch(
        (error: unknown) => {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return this.skip();
          throw error;
        },
      );
      assert.ok(pinned.added <= OF_NODE, `${pinned.added} threads more`);
    });
  });
});
