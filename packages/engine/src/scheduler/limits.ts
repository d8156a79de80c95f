/** Limits of a scheduler. */
export interface SchedulerLimits {
  /** The most jobs in the batch. */
  readonly maxSequences: number;
  /** The most jobs that wait beside them; the next is refused. */
  readonly maxQueue: number;
  /** The most prompt tokens computed in one step. */
  readonly prefillChunk: number;
  /** KV memory, in bytes. */
  readonly kvCacheBytes: number;
  /** The most sequences kept for prefix reuse. */
  readonly maxCachedPrefixes: number;
}
