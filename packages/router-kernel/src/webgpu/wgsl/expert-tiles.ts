/** kernels/expert_tiles.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const EXPERT_TILES_WGSL = {
  file: 'kernels/expert_tiles.wgsl',
  text: `// The row tiles of a dispatch plan, from where each expert begins in it. Every workgroup finds out where the tiles of each
// expert begin, and lists its share of the tiles; the first one lists the experts that have rows as well. A template,
// as is topk_gating_softmax.wgsl.

struct TilesCall {
  offsets_start: u32,
  tiles_start: u32,
  capacity: u32,
  workgroups: u32,
}

@group(0) @binding(0) var<uniform> call: TilesCall;
// Written by nobody here; read_write lets it share a buffer with the outputs.
@group(0) @binding(1) var<storage, read_write> expert_offsets: array<i32>;
// [2 + EXPERTS + 2 * capacity]: how many experts have rows and how many tiles there are; the experts that have rows; the
// expert of each tile; its first position in sorted_slots. -1 past the last of each.
@group(0) @binding(2) var<storage, read_write> expert_tiles: array<i32>;

const EXPERTS = {{EXPERTS}}u;
const TILE_ROWS = {{TILE_ROWS}}u;
const WORKGROUP_SIZE = {{WORKGROUP_SIZE}}u;
const EXPERTS_PER_INVOCATION = (EXPERTS + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;

var<workgroup> first_tiles: array<u32, EXPERTS>;
var<workgroup> sums: array<vec2<u32>, WORKGROUP_SIZE>;

fn first_position(expert: u32) -> u32 {
  return u32(expert_offsets[call.offsets_start + expert]);
}

// The tiles of an expert, and 1 where it has any.
fn tiles_of(expert: u32) -> vec2<u32> {
  let tiles = (first_position(expert + 1u) - first_position(expert) + TILE_ROWS - 1u) / TILE_ROWS;
  return vec2<u32>(tiles, min(tiles, 1u));
}

// The sum of the values of all invocations before this one; that of all is the last of \`sums\`.
fn exclusive_sums(value: vec2<u32>, local: u32) -> vec2<u32> {
  sums[local] = value;
  workgroupBarrier();
  var sum = value;
  for (var distance = 1u; distance < WORKGROUP_SIZE; distance *= 2u) {
    if (local >= distance) {
      sum += sums[local - distance];
    }
    workgroupBarrier();
    sums[local] = sum;
    workgroupBarrier();
  }
  return sum - value;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn list_tiles(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let block = workgroup.y * workgroups.x + workgroup.x;
  let first = local * EXPERTS_PER_INVOCATION;
  let end = min(first + EXPERTS_PER_INVOCATION, EXPERTS);
  var own = vec2<u32>(0u, 0u);
  for (var expert = first; expert < end; expert++) {
    own += tiles_of(expert);
  }
  var before = exclusive_sums(own, local);
  let all = sums[WORKGROUP_SIZE - 1u];
  let active_start = call.tiles_start + 2u;
  for (var expert = first; expert < end; expert++) {
    let tiles = tiles_of(expert);
    first_tiles[expert] = before.x;
    if (block == 0u && tiles.y == 1u) {
      expert_tiles[active_start + before.y] = i32(expert);
    } else if (block == 0u) {
      // The experts that have no rows stand for the places that are left.
      expert_tiles[active_start + all.y + expert - before.y] = -1;
    }
    before += tiles;
  }
  if (block == 0u && local == 0u) {
    expert_tiles[call.tiles_start] = i32(all.y);
    expert_tiles[call.tiles_start + 1u] = i32(all.x);
  }
  workgroupBarrier();
  let experts_start = active_start + EXPERTS;
  let starts_start = experts_start + call.capacity;
  let step = call.workgroups * WORKGROUP_SIZE;
  for (var tile = block * WORKGROUP_SIZE + local; tile < call.capacity; tile += step) {
    var listed = vec2<i32>(-1, -1);
    if (tile < all.x) {
      // The last expert whose first tile is this one or one before it.
      var expert = 0u;
      for (var stride = {{EXPERTS_POWER_OF_TWO}}u / 2u; stride > 0u; stride /= 2u) {
        if (expert + stride < EXPERTS && first_tiles[min(expert + stride, EXPERTS - 1u)] <= tile) {
          expert += stride;
        }
      }
      let start = first_position(expert) + (tile - first_tiles[expert]) * TILE_ROWS;
      listed = vec2<i32>(i32(expert), i32(start));
    }
    expert_tiles[experts_start + tile] = listed.x;
    expert_tiles[starts_start + tile] = listed.y;
  }
}
`,
};
