import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { commandLogger } from '../../src/cli/command-logger.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

/** What is logged at a level by one line of each kind. */
function logged(level: string, terminal: Partial<Terminal>): string {
  const error = new PassThrough();
  const logger = commandLogger(level, { input: error, output: error, error, color: false, ...terminal });
  logger.debug('a', { n: 1 });
  logger.info('b', { text: 'two words', plain: 'word' });
  logger.warn('c', { reason: new Error('first\nsecond') });
  logger.error('d');
  return String(error.read() ?? '');
}

describe('what a command logs', () => {
  it('are lines to read where a person looks, one for each message', () => {
    const lines = logged('debug', { liveColumns: 80 }).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => line.replace(/^\d\d:\d\d:\d\d/, 'TIME')),
      [
        'TIME debug a  n=1',
        'TIME info  b  text="two words" plain=word',
        'TIME warn  c  reason="first\\nsecond"',
        'TIME error d',
      ],
    );
  });

  it('are JSON lines elsewhere', () => {
    const lines = logged('debug', {}).trimEnd().split('\n');
    const messages = lines.map((line) => (JSON.parse(line) as { msg: string; level: number }).msg);
    assert.deepEqual(messages, ['a', 'b', 'c', 'd']);
  });

  it('is what its level lets through, in both', () => {
    for (const [level, count] of [
      ['debug', 4],
      ['info', 3],
      ['warn', 2],
      ['error', 1],
      ['silent', 0],
    ] as const) {
      for (const terminal of [{ liveColumns: 80 }, {}]) {
        const lines = logged(level, terminal).split('\n').filter(Boolean);
        assert.equal(lines.length, count, `${level}: ${lines.join()}`);
      }
    }
  });
});
