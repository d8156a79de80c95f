import assert from 'node:assert/strict';
import * as errors from '../../src/hub/errors.ts';
import { ModelsError } from '../../src/errors.ts';

const URL_OF_FILE = 'https://hub.example/a/b/resolve/main/config.json';

const ERRORS: readonly ModelsError[] = [
  new errors.InvalidModelNameError('a', 'it has 0 slashes'),
  new errors.InvalidHubSettingError('HF_ENDPOINT', 'x', 'the address of a hub'),
  new errors.ModelNotFoundError('a/b', 'neither a folder nor a model in /cache', 'a/b'),
  new errors.ModelNotFoundError('/nowhere', 'there is no such folder', null),
  new errors.HubNotFoundError('model', 'a/b', URL_OF_FILE),
  new errors.HubNotFoundError('revision', 'a/b', URL_OF_FILE),
  new errors.HubNotFoundError('file', 'a/b', URL_OF_FILE),
  new errors.HubAccessError('a/b', 401, false, 'https://hub.example'),
  new errors.HubAccessError('a/b', 403, true, 'https://hub.example'),
  new errors.HubBusyError(URL_OF_FILE, 30),
  new errors.HubBusyError(URL_OF_FILE, null),
  new errors.HubUnreachableError(URL_OF_FILE, 'connect ECONNREFUSED', new Error('fetch failed')),
  new errors.HubResponseError(URL_OF_FILE, 500, 'it tells no reason'),
  new errors.HubOfflineError('a/b', '/cache'),
  new errors.NoWeightsError('a/b', []),
  new errors.NoWeightsError('a/b', ['1', '2', '3', '4', '5', '6', '7', '8', '9']),
  new errors.ChecksumError('config.json', 'aa', 'bb'),
  new errors.DiskSpaceError('/cache', 13e9, 5e9),
  new errors.DiskSpaceError('/cache', 5e6, null, new Error('ENOSPC')),
  new errors.CacheNotWritableError('/cache', new Error('EACCES')),
  new errors.PullInProgressError('a/b', 'process 7 of here', '/cache/.locks/switchyard.lock'),
  new errors.NotDownloadedError('norm'),
];

describe('Errors of the hub', () => {
  it('say what happened, what was found and what to do, on one line', () => {
    for (const error of ERRORS) {
      const parts = error.message.split(' · ');
      assert.equal(parts.length, 3, error.message);
      for (const part of parts) assert.match(part, /^\S[^\n]*\S$/);
    }
  });

  it('have a code each, and their class as their name', () => {
    const codes = new Set(ERRORS.map(({ code }) => code));
    assert.equal(codes.size, new Set(ERRORS.map(({ name }) => name)).size);
    for (const error of ERRORS) {
      assert.match(error.code, /^[A-Z_]+$/);
      assert.ok(error instanceof ModelsError);
      assert.equal(error.name, error.constructor.name);
    }
  });

  it('are all here', () => {
    const classes = Object.values(errors).filter((each) => typeof each === 'function');
    assert.deepEqual(new Set(ERRORS.map((error) => error.constructor)), new Set<unknown>(classes));
  });
});
