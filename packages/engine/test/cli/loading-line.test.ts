import assert from 'node:assert/strict';
import { PassThrough, Writable } from 'node:stream';
import { describeLoading, describeWarning, LoadingLine } from '../../src/cli/loading-line.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { LoadProgress } from '../../src/options.ts';

const CLEAR = '\r\u001b[2K';

const progress = (seconds: number, what = 'layer 3 of 24', phase: LoadProgress['phase'] = 'model'): LoadProgress => ({
  phase,
  fraction: 0.2,
  what,
  doneBytes: 1_912_000_000,
  totalBytes: 13_761_000_000,
  seconds,
  readSeconds: 0,
  convertSeconds: 0,
  sessionSeconds: 0,
});

/** A terminal that keeps what is written to its error stream; anything on its output fails. */
function terminal(liveColumns?: number): { terminal: Terminal; written: () => string } {
  let written = '';
  const error = new Writable({
    write: (chunk: Buffer, _, done) => {
      written += chunk.toString();
      done();
    },
  });
  const output = new Writable({ write: () => assert.fail('standard output is for answers') });
  const streams = { input: new PassThrough(), output, error, color: false };
  return { terminal: liveColumns === undefined ? streams : { ...streams, liveColumns }, written: () => written };
}

describe('the line that tells of loading', () => {
  it('has warnings beside it, each a line with everything that is known', () => {
    assert.equal(
      describeWarning('runner passed over', { runner: 'hip', reason: 'no GPU' }),
      'warning: runner passed over · runner hip · reason no GPU',
    );
    assert.equal(describeWarning('the cache cannot be written'), 'warning: the cache cannot be written');
  });

  it('has what is loaded, the bytes and the seconds', () => {
    assert.equal(describeLoading(progress(0), 12.7), 'loading  layer 3 of 24 · 1.9 GB of 13.8 GB · 12 s');
    assert.equal(describeLoading({ ...progress(0, 'checkpoint'), totalBytes: 0 }, 0), 'loading  checkpoint · 0 s');
  });

  it('is written anew on a terminal where it changes, and is gone at the end', () => {
    const { terminal: live, written } = terminal(80);
    const line = new LoadingLine(live);
    line.show(1);
    assert.equal(written(), '');
    line.tell(progress(1));
    line.show(1.5);
    line.show(2);
    line.tell(progress(3, 'ready', 'ready'));
    line.clear();
    line.clear();
    line.show(4);
    const text = 'loading  layer 3 of 24 · 1.9 GB of 13.8 GB';
    assert.equal(written(), `${CLEAR}${text} · 1 s${CLEAR}${text} · 2 s${CLEAR}`);
  });

  it('never wraps', () => {
    for (const columns of [0, 1, 20]) {
      const { terminal: narrow, written } = terminal(columns);
      new LoadingLine(narrow).tell(progress(1));
      assert.equal(written().slice(CLEAR.length).length, Math.max(0, columns - 1));
    }
  });

  it('is silent for five seconds where nobody looks, and then tells a line in five seconds', () => {
    const { terminal: pipe, written } = terminal();
    const line = new LoadingLine(pipe);
    for (let seconds = 0; seconds < 5; seconds += 0.25) line.tell(progress(seconds));
    assert.equal(written(), '');
    for (let seconds = 5; seconds <= 16; seconds += 0.5) line.show(seconds);
    line.clear();
    const text = 'loading  layer 3 of 24 · 1.9 GB of 13.8 GB';
    assert.equal(written(), `${text} · 5 s\n${text} · 10 s\n${text} · 15 s\n`);
  });
});
