/**
 * How much memory this process may still use.
 */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { promisify } from 'node:util';
import type { ReadText } from '@switchyard/gpu/environment';
import { type MemoryLimit, memoryLimits } from './cgroup-memory.ts';

/** Memory in bytes. Survives a structured clone. */
export interface ProcessMemory {
  /** What the process may still use. Files in the page cache count as free: the system gives that memory back. */
  readonly availableBytes: number;
  /** What it may use in all: the machine's memory, or the container's limit where that is lower. */
  readonly totalBytes: number;
}

/** Who is asked. Any of them may throw, and some are missing in older versions of Node. */
export interface MemorySources {
  readonly platform: NodeJS.Platform;
  readonly totalmem: () => number;
  readonly freemem: () => number;
  /** `process.constrainedMemory`: 0, or about 2^63 or 2^64, where nothing limits the process. */
  readonly constrainedMemory: (() => number) | undefined;
  /** `process.availableMemory`: counts a container's page cache as used. */
  readonly availableMemory: (() => number) | undefined;
  /** Resident memory of this process. */
  readonly residentBytes: () => number;
  readonly readText: ReadText;
  /** What `vm_stat` of macOS prints. */
  readonly pageStatistics: () => Promise<string>;
}

const PAGE_STATISTICS_MS = 2000;

const SYSTEM: MemorySources = {
  platform: process.platform,
  totalmem,
  freemem,
  constrainedMemory: () => process.constrainedMemory(),
  availableMemory: () => process.availableMemory(),
  residentBytes: () => process.memoryUsage.rss(),
  readText: (path) => readFileSync(path, 'utf8'),
  pageStatistics: async () =>
    (await promisify(execFile)('/usr/bin/vm_stat', { timeout: PAGE_STATISTICS_MS, encoding: 'utf8' })).stdout,
};

/** Asks the system. Null where nobody answers; never rejects. */
export async function processMemory(sources: MemorySources = SYSTEM): Promise<ProcessMemory | null> {
  const machineTotal = bytesFrom(sources.totalmem) ?? meminfo(sources, 'MemTotal');
  const machineFree =
    (await reclaimableFree(sources)) ?? bytesFrom(sources.freemem) ?? bytesFrom(sources.availableMemory);
  if (machineFree === null) return null;
  let totalBytes = machineTotal ?? machineFree;
  let availableBytes = machineFree;
  const resident = bytesFrom(sources.residentBytes) ?? 0;
  for (const { limitBytes, usedBytes } of limitsOf(sources)) {
    // No limit is written as a number that no machine has.
    if (machineTotal !== null && limitBytes >= machineTotal) continue;
    totalBytes = Math.min(totalBytes, limitBytes);
    availableBytes = Math.min(availableBytes, Math.max(0, limitBytes - (usedBytes ?? resident)));
  }
  return { availableBytes, totalBytes };
}

/** Limits below the machine's memory. Node's own figure counts where it is lower than what the groups say. */
function limitsOf(sources: MemorySources): MemoryLimit[] {
  const groups = sources.platform === 'linux' ? memoryLimits(sources.readText) : [];
  const constrained = bytesFrom(sources.constrainedMemory);
  const isKnown = constrained === null || groups.some(({ limitBytes }) => limitBytes <= constrained);
  return isKnown ? groups : [...groups, { limitBytes: constrained, usedBytes: null }];
}

/** Free memory with what the system would take back from caches; null where the system does not say. */
async function reclaimableFree(sources: MemorySources): Promise<number | null> {
  if (sources.platform === 'linux') return meminfo(sources, 'MemAvailable');
  if (sources.platform !== 'darwin') return null;
  try {
    return freePages(await sources.pageStatistics());
  } catch {
    return null;
  }
}

function meminfo({ platform, readText }: MemorySources, field: string): number | null {
  if (platform !== 'linux') return null;
  const kibibytes = valueOf(() =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readText('/proc/meminfo'))?.[1]),
  );
  return kibibytes === null ? null : kibibytes * 1024;
}

/** On macOS, what Node calls free leaves out the inactive pages, most of what is to be had. */
function freePages(statistics: string): number | null {
  const pageBytes = Number(/page size of (\d+) bytes/.exec(statistics)?.[1]);
  const pages = ['free', 'inactive', 'speculative'].map((kind) =>
    Number(new RegExp(`^Pages ${kind}:\\s+(\\d+)\\.`, 'm').exec(statistics)?.[1] ?? 0),
  );
  const bytes = pageBytes * pages.reduce((sum, count) => sum + count, 0);
  return bytes > 0 ? bytes : null;
}

/** A number of bytes that can be, or null. */
function bytesFrom(source: (() => number) | undefined): number | null {
  const bytes = source === undefined ? null : valueOf(source);
  return bytes === null || bytes <= 0 ? null : bytes;
}

function valueOf(source: () => number): number | null {
  try {
    const value = source();
    return Number.isFinite(value) ? value : null;
  } catch {
    return null;
  }
}
