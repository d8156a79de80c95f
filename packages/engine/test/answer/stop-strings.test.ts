import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { StopStringFilter } from '../../src/answer/stop-strings.ts';

describe('StopStringFilter', () => {
  it('gives the same text however the stream is split, and nothing of the stop string', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 30 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, (text, stops) => {
        const filter = new StopStringFilter({ texts: stops, included: false });
        let out = '';
        let stopped = false;
        for (const letter of text) {
          const result = filter.push(letter);
          out += result.text;
          stopped = result.stoppedBy !== null;
          if (stopped) break;
        }
        if (!stopped) out += filter.flush();
        // The stop string that is complete first ends the stream of single letters.
        const ends = stops.flatMap((stop) => (text.includes(stop) ? [text.indexOf(stop) + stop.length] : []));
        if (ends.length === 0) assert.equal(out, text);
        else assert.ok(stops.every((stop) => !out.includes(stop)) && text.startsWith(out));
        assert.equal(stopped, ends.length > 0);
      }),
    );
  });

  it('cuts at the earliest stop string of a piece', () => {
    assert.deepEqual(new StopStringFilter({ texts: ['END', 'ST'], included: false }).push('a STEND'), {
      text: 'a ',
      stoppedBy: 'ST',
    });
  });
});
