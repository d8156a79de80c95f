/**
 * The experts' load as a picture: a line a layer, a character an expert.
 */
const SHADES = ' .:-=+*#%@';
/** 256-colour codes from cold to hot. */
const COLORS = [235, 17, 18, 54, 90, 126, 162, 203, 214, 228];

/** Draws f64 [layers, experts] counts; each layer is scaled by its own busiest expert. */
export function heatMap(counts: Float64Array, layers: number, experts: number, color: boolean): string {
  const lines: string[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const row = counts.subarray(layer * experts, (layer + 1) * experts);
    const busiest = Math.max(1, ...row);
    const cells = Array.from(row, (count) => {
      const heat = Math.ceil((count / busiest) * (SHADES.length - 1));
      return color ? `\u001b[48;5;${COLORS[heat] ?? 0}m  \u001b[0m` : (SHADES[heat] ?? ' ');
    });
    const idle = row.filter((count) => count === 0).length;
    lines.push(
      `layer ${String(layer).padStart(2)} |${cells.join('')}| busiest ${row.indexOf(busiest)} (${busiest}), idle ${idle}`,
    );
  }
  return lines.join('\n');
}
