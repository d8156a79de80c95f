/**
 * Which experts worked, drawn layer by expert.
 *
 * @module
 */
import type { ExpertLoad } from '@switchyard/engine';
import type { Terminal } from './terminal.ts';

/** Cells beside one another; layers with more experts take several lines. */
const EXPERTS_PER_LINE = 32;

/** One line for each layer and 32 experts; a cell's brightness is its share of the layer's busiest expert. */
export function drawHeatMap(load: ExpertLoad, terminal: Terminal): string[] {
  const { layers, experts, counts } = load;
  const lines: string[] = [];
  const label = String(layers - 1).length;
  for (let layer = 0; layer < layers; layer += 1) {
    const row = counts.subarray(layer * experts, (layer + 1) * experts);
    const busiest = row.reduce((most, tokens) => Math.max(most, tokens), 1);
    for (let first = 0; first < experts; first += EXPERTS_PER_LINE) {
      const name = first === 0 ? String(layer).padStart(label) : ' '.repeat(label);
      const cells = Array.from(row.subarray(first, first + EXPERTS_PER_LINE), (tokens) =>
        terminal.cell(tokens / busiest),
      );
      lines.push(`  ${name} ${cells.join('')}`);
    }
  }
  return lines;
}
