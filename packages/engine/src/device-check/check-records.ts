/**
 * What checks found, kept beside the compiled kernels: one file a set of kernels, written whole under another name first, so
 * that processes side by side never read half of one. What cannot be written is kept as long as the process lives.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCacheFolder } from '@switchyard/gpu';
import { reasonOf } from '../contain.ts';
import type { Logger } from '../logger.ts';
import { type CheckFailure, type CheckName, type CheckResult, FAILURE_KINDS } from './check-result.ts';

const FORMAT = 1;
const PREFIX = 'device-check-';
const SUFFIX = '.json';
/** Digits of a key in a file's name. */
const NAME_DIGITS = 32;

/** A remembered result. */
export interface CheckRecord extends CheckResult {
  readonly format: typeof FORMAT;
  readonly key: string;
  readonly check: CheckName;
  /** For people: the device with its driver, and the model. */
  readonly device: string;
  readonly model: string;
  /** ISO 8601. */
  readonly at: string;
}

/** Those of this process, by folder and key. */
const ofProcess = new Map<string, CheckRecord>();

/** Records in a folder. */
export class CheckRecords {
  /** Null where there is no place for them. */
  readonly folder: string | null;
  readonly #logger: Pick<Logger, 'warn'>;

  /** @param folder defaults to that of compiled kernels */
  constructor(logger: Pick<Logger, 'warn'>, folder: string | null = defaultCacheFolder()) {
    this.folder = folder;
    this.#logger = logger;
  }

  /** What is remembered of a key; null where nothing is. */
  async find(key: string): Promise<CheckRecord | null> {
    if (this.folder !== null) {
      try {
        const record = parseRecord(await readFile(this.#fileOf(this.folder, key), 'utf8'));
        if (record?.key === key) return record;
      } catch {
        // Not there, or not to be read: the check is run.
      }
    }
    return ofProcess.get(this.#own(key)) ?? null;
  }

  async write(record: Omit<CheckRecord, 'format' | 'at'>): Promise<void> {
    const { key } = record;
    const whole: CheckRecord = { format: FORMAT, ...record, at: new Date().toISOString() };
    ofProcess.set(this.#own(key), whole);
    if (this.folder === null) return;
    const file = this.#fileOf(this.folder, key);
    const temporary = `${file}.${process.pid}.${randomUUID()}.tmp`;
    try {
      await mkdir(this.folder, { recursive: true });
      await writeFile(temporary, `${JSON.stringify(whole)}\n`);
      await rename(temporary, file);
    } catch (error) {
      this.#logger.warn?.(
        `What the check of the GPU found cannot be kept (${reasonOf(error)}); it is run at every start.`,
      );
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }

  /** Forgets the failures of a device, so that they are tried again. */
  async forgetFailures(device: string): Promise<void> {
    const isFailure = (record: CheckRecord | null): record is CheckRecord =>
      record !== null && record.failure !== null && record.device === device;
    for (const [own, record] of ofProcess) if (isFailure(record)) ofProcess.delete(own);
    if (this.folder === null) return;
    const names = await readdir(this.folder).catch((): string[] => []);
    for (const name of names) {
      if (!name.startsWith(PREFIX) || !name.endsWith(SUFFIX)) continue;
      const file = join(this.folder, name);
      const record = parseRecord(await readFile(file, 'utf8').catch(() => ''));
      if (isFailure(record)) await rm(file, { force: true }).catch(() => undefined);
    }
  }

  #own(key: string): string {
    return `${this.folder ?? ''}:${key}`;
  }

  #fileOf(folder: string, key: string): string {
    return join(folder, `${PREFIX}${key.slice(0, NAME_DIGITS)}${SUFFIX}`);
  }
}

/** Null for what is no record of this format. */
function parseRecord(text: string): CheckRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const record = value as Partial<CheckRecord>;
  const isWhole =
    record.format === FORMAT &&
    typeof record.key === 'string' &&
    typeof record.device === 'string' &&
    (record.failure === null || isFailure(record.failure));
  return isWhole ? (record as CheckRecord) : null;
}

function isFailure(value: unknown): value is CheckFailure {
  return (
    typeof value === 'object' &&
    value !== null &&
    'found' in value &&
    typeof value.found === 'string' &&
    'kind' in value &&
    FAILURE_KINDS.some((kind) => kind === value.kind)
  );
}
