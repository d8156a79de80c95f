import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckRecords } from '../../src/device-check/check-records.ts';
import { SILENT_LOGGER } from '../../src/logger.ts';

const KEY = 'a'.repeat(64);
const OTHER_KEY = 'b'.repeat(64);
const PASSED = {
  key: KEY,
  check: 'golden',
  device: 'a GPU',
  model: 'a model',
  cases: 9,
  milliseconds: 120,
  failure: null,
} as const;
const FAILED = { ...PASSED, failure: { kind: 'wrong', found: 'another token' } } as const;

describe('what is remembered of checks', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'switchyard-records-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** What another process would find: nothing of this one's memory. */
  async function another(): Promise<CheckRecords> {
    return new CheckRecords(SILENT_LOGGER, `${folder}/.`);
  }

  it('is a file a set of kernels, which other processes find', async () => {
    const records = new CheckRecords(SILENT_LOGGER, folder);
    assert.equal(await records.find(KEY), null);
    await records.write(PASSED);
    const found = await (await another()).find(KEY);
    assert.ok(found !== null);
    const { format, at, ...rest } = found;
    assert.equal(format, 1);
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    assert.deepEqual(rest, PASSED);
    assert.equal(await records.find(OTHER_KEY), null);
    assert.equal(readdirSync(folder).length, 1);
  });

  it('is whole whoever writes it at once, the last for good', async () => {
    const writers = Array.from({ length: 8 }, () => new CheckRecords(SILENT_LOGGER, folder));
    const reading = (async () => {
      for (let turn = 0; turn < 20; turn++) {
        const found = await (await another()).find(KEY);
        assert.ok(found === null || found.cases === PASSED.cases);
      }
    })();
    await Promise.all(writers.map((each) => each.write(PASSED)));
    await reading;
    assert.deepEqual((await (await another()).find(KEY))?.failure, null);
    assert.equal(readdirSync(folder).length, 1, 'nothing temporary is left');
  });

  it('is nothing where a file is damaged or another one', async () => {
    const records = new CheckRecords(SILENT_LOGGER, folder);
    await records.write(PASSED);
    const [name = ''] = readdirSync(folder);
    const text = readFileSync(join(folder, name), 'utf8');
    const wrong = [
      '',
      text.slice(0, 20),
      '[]',
      'null',
      text.replace('"format":1', '"format":2'),
      text.replace(KEY, OTHER_KEY),
      text.replace('"failure":null', '"failure":{}'),
    ];
    for (const damaged of wrong) {
      writeFileSync(join(folder, name), damaged);
      assert.equal(await (await another()).find(KEY), null, damaged);
    }
  });

  it('is kept by the process where it cannot be written, which is told', async () => {
    const file = join(folder, 'no folder');
    writeFileSync(file, '');
    const warned: string[] = [];
    const records = new CheckRecords({ warn: (message) => void warned.push(message) }, file);
    await records.write(FAILED);
    assert.match(warned.join(), /cannot be kept .*at every start/);
    assert.deepEqual((await records.find(KEY))?.failure, FAILED.failure);
    const nowhere = new CheckRecords({ warn: (message) => void warned.push(message) }, null);
    await nowhere.write({ ...PASSED, key: OTHER_KEY });
    assert.equal((await nowhere.find(OTHER_KEY))?.failure, null);
    assert.equal(warned.length, 1);
  });

  it('of failures is forgotten for one device at a time', async () => {
    const records = new CheckRecords(SILENT_LOGGER, folder);
    await records.write(FAILED);
    await records.write({ ...FAILED, key: OTHER_KEY, device: 'another GPU' });
    await records.write({ ...PASSED, key: 'c'.repeat(64) });
    writeFileSync(join(folder, 'device-check-.json'), 'no record');
    await records.forgetFailures('a GPU');
    assert.equal(await records.find(KEY), null);
    assert.notEqual(await records.find(OTHER_KEY), null);
    assert.notEqual(await records.find('c'.repeat(64)), null);
  });
});
