import assert from 'node:assert/strict';
import fc from 'fast-check';
import { PieceMap } from '../../src/hub/piece-map.ts';

describe('The pieces of a file', () => {
  it('cover every byte once, in whatever steps they fill', () => {
    fc.assert(
      fc.property(
        fc.nat(2000),
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 99 }))),
        (size, pieceBytes, steps) => {
          const map = new PieceMap(size, pieceBytes);
          const filled = new Set<number>();
          const fill = (piece: number, most: number): void => {
            const range = map.missing(piece);
            if (range === null) return;
            const end = Math.min(range.end, range.begin + most);
            for (let byte = range.begin; byte < end; byte++) {
              assert.ok(!filled.has(byte));
              filled.add(byte);
            }
            map.add(piece, end - range.begin);
          };
          for (const [piece, most] of steps) if (map.pieces > 0) fill(piece % map.pieces, most);
          assert.equal(map.doneBytes, filled.size);
          // Another process goes on.
          const copy = PieceMap.fromJson(JSON.parse(JSON.stringify(map)), size);
          assert.deepEqual(copy, map);
          for (let piece = 0; piece < map.pieces; piece++) fill(piece, size);
          assert.equal(filled.size, size);
          assert.equal(map.doneBytes, size);
        },
      ),
    );
  });

  it('are begun anew where what was noted cannot be', () => {
    const good = { size: 10, pieceBytes: 4, done: [4, 2, 0] };
    assert.equal(PieceMap.fromJson(good, 10)?.doneBytes, 6);
    const wrong: readonly unknown[] = [
      null,
      [],
      { ...good, size: 11 },
      { ...good, pieceBytes: 0 },
      { ...good, pieceBytes: 2.5 },
      { ...good, done: [4, 2] },
      { ...good, done: [4, 2, 3] },
      { ...good, done: [4, -1, 0] },
      { ...good, done: [4, '2', 0] },
      { size: 10 },
    ];
    for (const json of wrong) assert.equal(PieceMap.fromJson(json, 10), null, JSON.stringify(json));
  });
});
