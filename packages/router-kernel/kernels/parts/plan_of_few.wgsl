// The dispatch plan of the few tokens that one workgroup routes. There is no sum over experts to wait for: each invocation
// counts the slots before its expert or its slot. Ids of -1 (0xFFFFFFFF) are in no plan.

@group(0) @binding(12) var<storage, read_write> expert_offsets: array<i32>;
@group(0) @binding(13) var<storage, read_write> sorted_slots: array<i32>;
#if TILES
// As in expert_tiles.wgsl.
@group(0) @binding(14) var<storage, read_write> expert_tiles: array<i32>;
#end TILES

const NO_EXPERT = 0xFFFFFFFFu;

// The ids of all slots, and those that no slot before has.
var<workgroup> planned_ids: array<u32, ROWS * TOP_K>;
#if TILES
var<workgroup> active_ids: array<u32, ROWS * TOP_K>;
#end TILES

// The slots of the experts before one.
fn slots_before(expert: u32) -> u32 {
  var count = 0u;
  for (var slot = 0u; slot < call.tokens * TOP_K; slot++) {
    count += select(0u, 1u, planned_ids[slot] < expert);
  }
  return count;
}

// The slots before one that go to its expert.
fn equals_before(slot: u32) -> u32 {
  var count = 0u;
  for (var other = 0u; other < slot; other++) {
    count += select(0u, 1u, planned_ids[other] == planned_ids[slot]);
  }
  return count;
}

#if TILES
// The experts before one that have slots.
fn active_before(expert: u32) -> u32 {
  var count = 0u;
  for (var slot = 0u; slot < call.tokens * TOP_K; slot++) {
    count += select(0u, 1u, active_ids[slot] < expert);
  }
  return count;
}

// No expert of so few tokens has rows for a second tile.
fn list_few_tiles(local: u32) {
  let slots = call.tokens * TOP_K;
  for (var slot = local; slot < slots; slot += WORKGROUP_SIZE) {
    active_ids[slot] = select(NO_EXPERT, planned_ids[slot], equals_before(slot) == 0u);
  }
  workgroupBarrier();
  let active_count = active_before(EXPERTS);
  let active_start = gate_call.tiles_start + 2u;
  let experts_start = active_start + EXPERTS;
  let starts_start = experts_start + gate_call.tile_capacity;
  if (local == 0u) {
    expert_tiles[gate_call.tiles_start] = i32(active_count);
    expert_tiles[gate_call.tiles_start + 1u] = i32(active_count);
  }
  for (var slot = local; slot < slots; slot += WORKGROUP_SIZE) {
    let id = active_ids[slot];
    if (id < EXPERTS) {
      let tile = active_before(id);
      expert_tiles[active_start + tile] = i32(id);
      expert_tiles[experts_start + tile] = i32(id);
      expert_tiles[starts_start + tile] = i32(slots_before(id));
    }
  }
  for (var at = active_count + local; at < EXPERTS; at += WORKGROUP_SIZE) {
    expert_tiles[active_start + at] = -1;
  }
  for (var at = active_count + local; at < gate_call.tile_capacity; at += WORKGROUP_SIZE) {
    expert_tiles[experts_start + at] = -1;
    expert_tiles[starts_start + at] = -1;
  }
}

#end TILES
// Makes the plan of `planned_ids`.
fn plan_few(local: u32) {
  let slots = call.tokens * TOP_K;
  let total = slots_before(EXPERTS);
  for (var expert = local; expert <= EXPERTS; expert += WORKGROUP_SIZE) {
    expert_offsets[gate_call.offsets_start + expert] = i32(slots_before(expert));
  }
  for (var slot = local; slot < slots; slot += WORKGROUP_SIZE) {
    let id = planned_ids[slot];
    if (id < EXPERTS) {
      sorted_slots[gate_call.sorted_start + slots_before(id) + equals_before(slot)] = i32(slot);
    }
    if (slot >= total) {
      sorted_slots[gate_call.sorted_start + slot] = -1;
    }
  }
#if TILES
  list_few_tiles(local);
#end TILES
}
