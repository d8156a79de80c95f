/** Rows of logits that a search by integers, in chunks of neighbours, could get wrong. */

import type { Logits, ResolvedRouterConfig } from '../../src/contract.ts';
import { encodeLogits } from '../../src/number-formats.ts';
import { PATTERN_COUNT, patternedLogits } from '../../src/suite/row-patterns.ts';
import { seededRandom } from '../../src/suite/seeded-random.ts';

/** The bits of a row's logits. */
type MakeRow = (row: number, random: () => number) => number[];

/** Rows of every kind, without gaps: the suite's patterns, and what follows here. */
export function adversarialRows(config: ResolvedRouterConfig): Logits {
  const { experts, topK, logitsDtype: dtype } = config;
  const random = seededRandom(`${experts} ${topK} ${dtype}`);
  const patterned = patternedLogits({ experts, topK, dtype }, 2 * PATTERN_COUNT, experts, 0, random);
  const rows = makers(config).flatMap(({ count, make }) =>
    Array.from({ length: count }, (_, row) => make(row, random)),
  );
  const bits = dtype === 'f32' ? new Uint32Array(rows.length * experts) : new Uint16Array(rows.length * experts);
  rows.forEach((row, i) => bits.set(row, i * experts));
  if (patterned instanceof Float32Array) {
    const both = new Float32Array(patterned.length + bits.length);
    both.set(patterned);
    new Uint32Array(both.buffer, patterned.byteLength).set(bits);
    return both;
  }
  const both = new Uint16Array(patterned.length + bits.length);
  both.set(patterned);
  both.set(bits, patterned.length);
  return both;
}

function makers({ experts, topK, logitsDtype: dtype }: ResolvedRouterConfig): { count: number; make: MakeRow }[] {
  const sign = dtype === 'f32' ? 0x80000000 : 0x8000;
  const infinity = { bf16: 0x7f80, f16: 0x7c00, f32: 0x7f800000 }[dtype];
  const nans = [infinity + 1, sign - 1, sign + infinity + 1, 2 * sign - 1];
  const one = bitsOf(1);
  const special = [
    ...nans,
    ...[0, 1, 2, infinity, infinity - 1, one, one + 1, one - 1].flatMap((bits) => [bits, sign + bits]),
  ];
  const every = (make: (expert: number) => number): number[] => Array.from({ length: experts }, (_, i) => make(i));
  const pick = (from: readonly number[], random: () => number): number =>
    from[Math.floor(random() * from.length)] ?? Number.NaN;

  function bitsOf(value: number): number {
    const encoded = encodeLogits(Float32Array.of(value), dtype);
    return (encoded instanceof Float32Array ? new Uint32Array(encoded.buffer)[0] : encoded[0]) ?? Number.NaN;
  }

  const width = dtype === 'f32' ? 4 : 8;
  return [
    { count: 200, make: (_, random) => every(() => pick(special, random)) },
    // Few values: ties within chunks and across them.
    {
      count: 100,
      make: (_, random) => {
        const values = Array.from({ length: 3 }, () => pick(special, random));
        return every(() => pick(values, random));
      },
    },
    // A NaN of each kind at every place, among positive, negative and mixed numbers.
    {
      count: 4 * experts,
      make: (row, random) => {
        const place = row >> 2;
        const offset = [0, -8, 8][row % 3] ?? 0;
        return every((i) => (i === place ? (nans[row & 3] ?? 0) : bitsOf(offset + 4 * random() - 2)));
      },
    },
    // Nothing but NaN, save at one place: and nothing at all.
    {
      count: experts,
      make: (row, random) => every((i) => (i === row ? pick(special, random) : pick(nans, random))),
    },
    // As many chunks with a number as there are winners, or one more or fewer.
    {
      count: 60,
      make: (row, random) => {
        const numbered = new Set(Array.from({ length: topK + (row % 3) - 1 }, () => Math.floor(random() * experts)));
        return every((i) => (numbered.has(i) ? bitsOf(random() - 0.5) : (nans[2 + (i % 2)] ?? 0)));
      },
    },
    // Chunks whose best logits are equal, at different places in them.
    {
      count: 60,
      make: (row, random) => {
        const best = bitsOf(row % 2 === 0 ? 3 : -0.5);
        const places = every(() => Math.floor(random() * width));
        return every((i) => (i % width === places[Math.floor(i / width)] ? best : bitsOf(-1 - random())));
      },
    },
    { count: special.length, make: (row) => every(() => special[row] ?? 0) },
    // Zeros of both signs above and below everything else.
    {
      count: 20,
      make: (row, random) => every(() => (random() < 0.2 ? bitsOf(row % 2 === 0 ? -1 : 1) : pick([0, sign], random))),
    },
  ];
}
