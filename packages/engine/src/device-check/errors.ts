/** Why a GPU is not taken for a model without being named. */

import { EngineError } from '../errors.ts';
import type { CheckFailure } from './check-result.ts';

const HAPPENED: Readonly<Record<CheckFailure['kind'], string>> = {
  wrong: 'does not compute the right answers',
  hung: 'does not finish the check of its answers',
  ended: 'ended the process that checked its answers',
  uncompiled: 'has no kernels that its compiler takes',
};

/** A GPU that is there fails the check that comes before it is taken. It is not checked again at the next load. */
export class DeviceCheckFailedError extends EngineError {
  override readonly name = 'DeviceCheckFailedError';
  readonly code = 'DEVICE_CHECK_FAILED';
  readonly failure: CheckFailure;
  /** Whether this was found by an earlier load. */
  readonly remembered: boolean;
  constructor(device: string, failure: CheckFailure, remembered: boolean) {
    super(
      `${device} ${HAPPENED[failure.kind]} · found ${remembered ? 'by an earlier check: ' : ''}${failure.found.replaceAll(' · ', ', ')} · it is not taken by itself; switchyard verify --runner hip checks it again, --runner hip takes it all the same`,
    );
    this.failure = failure;
    this.remembered = remembered;
  }
}

/** A GPU that is there could not be checked. The next load tries again. */
export class DeviceNotCheckedError extends EngineError {
  override readonly name = 'DeviceNotCheckedError';
  readonly code = 'DEVICE_NOT_CHECKED';
  constructor(device: string, found: string, cause?: unknown) {
    super(
      `The answers of ${device} could not be checked · found ${found.replaceAll(' · ', ', ')} · mend that, or take the GPU unchecked with --runner hip`,
      cause === undefined ? undefined : { cause },
    );
  }
}
