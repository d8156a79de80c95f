/**
 * Draws a report of `switchyard bench` that is there already.
 *
 *   node --import=tsx/esm bench/plot-decode.ts REPORT.json PLOT.svg
 */

import { readFile, writeFile } from 'node:fs/promises';
import { isBenchmarkReport } from '@switchyard/gpu/benchmark';
import { decodePlot } from '../src/bench/decode-plot.ts';

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined) throw new TypeError('Give the file of a report, and the one to write');
const report: unknown = JSON.parse(await readFile(from, 'utf8'));
if (!isBenchmarkReport(report)) throw new TypeError(`${from} is no report of a benchmark`);
await writeFile(to, decodePlot(report));
