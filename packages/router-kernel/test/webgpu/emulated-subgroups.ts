/**
 * Subgroups of any size on any device: rewrites the router's WGSL so that its subgroup operations go through workgroup
 * memory, among as many invocations as the size says.
 */

import assert from 'node:assert/strict';

/** The subgroups of an emulated device. */
export interface EmulatedSubgroups {
  /** Invocations in a subgroup: a power of two. */
  readonly size: number;
  /** XORed into an invocation's place in its subgroup, since WGSL does not say in which order those are. */
  readonly laneFlip: number;
}

/** Shaders without subgroup operations come back as they are. */
export function emulateSubgroups(code: string, { size, laneFlip }: EmulatedSubgroups): string {
  if (!code.includes('enable subgroups;')) return code;
  const isPacked = code.includes('alias Key = u32;');
  const exchange = (value: string, distance: string): string => `exchange_in_subgroup(${value}, ${distance})`;
  const word = (value: string, distance: string): string => `${exchange(`vec2<u32>(${value}, 0u)`, distance)}.x`;
  const rewritten = code
    .replace('enable subgroups;', '')
    .replace(/^ *@builtin\(subgroup_invocation_id\) subgroup_lane: u32,\n/m, '')
    .replace(
      /^(?= *let position = )/m,
      `subgroup_base = local - local % ${size}u;
       let subgroup_lane = (local - subgroup_base) ^ ${laneFlip}u;
       subgroup_lane_of_invocation = subgroup_lane;\n`,
    )
    .replaceAll('subgroupMin(local)', 'subgroup_base')
    .replaceAll(
      /result \+= subgroupShuffleXor\(result, (\w+)\)/g,
      (_, distance: string) => `result += bitcast<f32>(${word('bitcast<u32>(result)', distance)})`,
    )
    .replaceAll(/subgroupShuffleXor\(result, (\w+)\)/g, (_, distance: string) => word('result', distance))
    .replaceAll(/subgroupShuffleXor\((\w+), (\w+)\)/g, (_, key: string, distance: string) =>
      isPacked ? word(key, distance) : exchange(key, distance),
    );
  assert.doesNotMatch(rewritten, /\bsubgroup[A-Z]/, 'the shader has a subgroup operation that is not emulated');
  return `${rewritten}
var<private> subgroup_base: u32;
var<private> subgroup_lane_of_invocation: u32;
var<workgroup> subgroup_cells: array<vec2<u32>, WORKGROUP_SIZE>;

fn exchange_in_subgroup(value: vec2<u32>, distance: u32) -> vec2<u32> {
  workgroupBarrier();
  subgroup_cells[subgroup_base + subgroup_lane_of_invocation] = value;
  workgroupBarrier();
  let partner = subgroup_lane_of_invocation ^ distance;
  // Values of lanes that the subgroup does not have, or that no invocation fills, are anything.
  if (partner >= ${size}u || subgroup_base + partner >= WORKGROUP_SIZE) {
    return vec2<u32>(0xDEADBEEFu);
  }
  return subgroup_cells[subgroup_base + partner];
}
`;
}
