/** kernels/dispatch_plan.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const DISPATCH_PLAN_WGSL = {
  file: 'kernels/dispatch_plan.wgsl',
  text: `// The dispatch plan: slots grouped by expert, in a stable counting sort over blocks of BLOCK slots.
//
// Up to one block, plan_single does it all. Beyond: plan_count counts each block's experts, and plan_place puts the slots
// where each block's share of an expert begins. Up to SUMMED_BLOCKS blocks, each adds up for itself where that is;
// beyond, plan_scan does it once for all, between the two. A template, as is topk_gating_softmax.wgsl. Ids of -1
// (0xFFFFFFFF) are in no plan.

struct Call {
  slots: u32,
  blocks: u32,
  ids_start: u32,
  offsets_start: u32,
  sorted_start: u32,
}

@group(0) @binding(0) var<uniform> call: Call;
// Written by nobody here; read_write lets it share a buffer with the outputs.
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> expert_offsets: array<i32>;
@group(0) @binding(3) var<storage, read_write> sorted_slots: array<i32>;
// [EXPERTS, blocks]: slots of an expert in a block; once scanned, in all blocks before, and [EXPERTS]: its slots in all.
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

const EXPERTS = {{EXPERTS}}u;
const WORDS_PER_ID = {{WORDS_PER_ID}}u;
const WORKGROUP_SIZE = {{WORKGROUP_SIZE}}u;
const BLOCK = {{BLOCK}}u;
const SUMMED_BLOCKS = {{SUMMED_BLOCKS}}u;
const EXPERTS_PER_INVOCATION = (EXPERTS + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;

var<workgroup> bins: array<atomic<u32>, EXPERTS>;
var<workgroup> shares: array<u32, EXPERTS>;
var<workgroup> sums: array<u32, WORKGROUP_SIZE>;
var<workgroup> tile: array<u32, WORKGROUP_SIZE>;

fn id_of(slot: u32) -> u32 {
  if (slot >= call.slots) {
    return 0xFFFFFFFFu;
  }
  return ids[call.ids_start + slot * WORDS_PER_ID];
}

fn count_block(block: u32, local: u32) {
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP_SIZE) {
    atomicStore(&bins[expert], 0u);
  }
  workgroupBarrier();
  for (var at = local; at < BLOCK; at += WORKGROUP_SIZE) {
    let id = id_of(block * BLOCK + at);
    if (id < EXPERTS) {
      atomicAdd(&bins[id], 1u);
    }
  }
  workgroupBarrier();
}

// The sum of the values of all invocations before this one.
fn exclusive_sum(value: u32, local: u32) -> u32 {
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

// Turns each expert's count in \`bins\` into the number of slots of the experts before it. Returns the number of slots
// in the plan.
fn scan_bins(local: u32) -> u32 {
  let first = local * EXPERTS_PER_INVOCATION;
  let end = min(first + EXPERTS_PER_INVOCATION, EXPERTS);
  var own = 0u;
  for (var expert = first; expert < end; expert++) {
    own += atomicLoad(&bins[expert]);
  }
  var before = exclusive_sum(own, local);
  for (var expert = first; expert < end; expert++) {
    let count = atomicLoad(&bins[expert]);
    atomicStore(&bins[expert], before);
    before += count;
  }
  workgroupBarrier();
  return sums[WORKGROUP_SIZE - 1u];
}

fn write_offsets(local: u32, total: u32) {
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP_SIZE) {
    expert_offsets[call.offsets_start + expert] = i32(atomicLoad(&bins[expert]));
  }
  if (local == 0u) {
    expert_offsets[call.offsets_start + EXPERTS] = i32(total);
  }
}

// Places a block's slots from where \`bins\` says that the block's share of each expert begins, in the order of slots.
fn place_block(block: u32, local: u32, total: u32) {
  for (var start = 0u; start < BLOCK; start += WORKGROUP_SIZE) {
    workgroupBarrier();
    let slot = block * BLOCK + start + local;
    let id = id_of(slot);
    tile[local] = id;
    workgroupBarrier();
    if (id < EXPERTS) {
      var rank = atomicLoad(&bins[id]);
      for (var earlier = 0u; earlier < local; earlier++) {
        rank += select(0u, 1u, tile[earlier] == id);
      }
      sorted_slots[call.sorted_start + rank] = i32(slot);
    }
    workgroupBarrier();
    if (id < EXPERTS) {
      atomicAdd(&bins[id], 1u);
    }
    if (slot >= total && slot < call.slots) {
      sorted_slots[call.sorted_start + slot] = -1;
    }
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn plan_single(@builtin(local_invocation_index) local: u32) {
  count_block(0u, local);
  let total = scan_bins(local);
  write_offsets(local, total);
  place_block(0u, local, total);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn plan_count(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let block = workgroup.y * workgroups.x + workgroup.x;
  count_block(block, local);
  if (block >= call.blocks) {
    return;
  }
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP_SIZE) {
    counts[expert * call.blocks + block] = atomicLoad(&bins[expert]);
  }
}

// One workgroup an expert.
@compute @workgroup_size(WORKGROUP_SIZE)
fn plan_scan(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let row = workgroup.x * call.blocks;
  var before = 0u;
  for (var start = 0u; start < call.blocks; start += WORKGROUP_SIZE) {
    let block = start + local;
    var count = 0u;
    if (block < call.blocks) {
      count = counts[row + block];
    }
    let sum = exclusive_sum(count, local);
    if (block < call.blocks) {
      counts[row + block] = before + sum;
    }
    before += workgroupUniformLoad(&sums[WORKGROUP_SIZE - 1u]);
  }
  if (local == 0u) {
    counts[EXPERTS * call.blocks + workgroup.x] = before;
  }
}

// An expert's slots in all blocks, and in those before \`block\`.
fn slots_of_expert(expert: u32, block: u32) -> vec2<u32> {
  let row = expert * call.blocks;
  if (call.blocks > SUMMED_BLOCKS) {
    return vec2<u32>(counts[EXPERTS * call.blocks + expert], counts[row + min(block, call.blocks - 1u)]);
  }
  var slots = vec2<u32>(0u, 0u);
  for (var other = 0u; other < call.blocks; other++) {
    let count = counts[row + other];
    slots += vec2<u32>(count, select(0u, count, other < block));
  }
  return slots;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn plan_place(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let block = workgroup.y * workgroups.x + workgroup.x;
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP_SIZE) {
    let slots = slots_of_expert(expert, block);
    atomicStore(&bins[expert], slots.x);
    shares[expert] = slots.y;
  }
  workgroupBarrier();
  let total = scan_bins(local);
  if (block == 0u) {
    write_offsets(local, total);
  }
  workgroupBarrier();
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP_SIZE) {
    atomicAdd(&bins[expert], shares[expert]);
  }
  place_block(block, local, total);
}
`,
};
