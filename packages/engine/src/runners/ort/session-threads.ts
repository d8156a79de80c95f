import { type UsableProcessors, usableProcessors } from '@switchyard/gpu/environment';
import { reasonOf } from '../../contain.ts';
import type { Logger } from '../../logger.ts';
import { GraphBuilder } from './graph.ts';
import { GraphSession, type SessionThreads } from './graph-session.ts';

/** Threads that sessions may have of their own, together: so many for each processor, and so many at least. */
const OWN_THREADS_PER_PROCESSOR = 8;
const LEAST_OWN_THREADS = 128;

/**
 * Threads to compute with: one a core that this process may use, or as many as are asked for, up to what it may run at
 * once. More would wait for each other.
 */
export function computeThreads(asked: number | undefined, { threads, cores }: UsableProcessors): number {
  return asked === undefined ? cores : Math.min(asked, threads);
}

/**
 * Threads for each of several sessions that cannot share a pool, so that all together have a bounded number whatever the
 * model: at most 128, or 8 for each of `threads`, beside the one that they are run on.
 */
export function ownThreads(threads: number, sessions: number): number {
  const most = Math.max(LEAST_OWN_THREADS, OWN_THREADS_PER_PROCESSOR * threads);
  return Math.max(1, Math.min(threads, 1 + Math.floor(most / sessions)));
}

/**
 * What the sessions of a model are to compute with: one pool for all of them, and for those of other models in this
 * process. Its size is that of the first load. Where there can be no pool, a few threads each.
 *
 * @param asked the caller's choice; undefined for none.
 * @param sessions how many sessions the model has.
 */
export async function sessionThreads(
  asked: number | undefined,
  sessions: number,
  logger: Logger | undefined,
): Promise<SessionThreads> {
  const usable = usableProcessors();
  const threads = computeThreads(asked, usable);
  if (asked !== undefined && asked > threads) {
    logger?.info?.(
      `Fewer threads than asked for · found ${asked}, this process may run ${threads} at once · raise its CPU affinity or quota for more`,
    );
  }
  // A session of one thread has no pool.
  if (threads === 1) return 1;
  const fault = await sharedPoolFault(threads);
  if (fault === null) return 'shared';
  const own = ownThreads(threads, sessions);
  logger?.info?.(
    `Sessions have no common pool of threads, and ${own} threads each · found ${fault} · load the engine before other users of onnxruntime-node in this process`,
  );
  return own;
}

/** Opens the pool, and tries it with a session of nothing. Returns what is wrong, or null. */
async function sharedPoolFault(threads: number): Promise<string | null> {
  try {
    // Loaded here: the library that calls C functions is not everywhere.
    const { openSharedPool } = await import('./thread-pool.ts');
    openSharedPool(threads);
    const graph = new GraphBuilder('probe');
    graph.output('result', graph.op('Identity', [graph.input('value', 'float32', [1])]), 'float32', [1]);
    const session = await GraphSession.create(graph, {
      threads: 'shared',
      clock: { compute: 0, experts: 0, router: 0 },
    });
    await session.release();
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}
