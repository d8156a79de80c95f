#include "experts.h"

#include "panels.h"
#include "quant_pairs.h"
#include "rows.h"

/* The most rows of one expert that a call of multiply_quants gets. */
enum { ROWS_AT_ONCE = 64 };

/* An expert's slots (row * top_k + k) that are computed, and its tiles. */
typedef struct {
  int32_t expert, first_slot, slots, first_tile, tiles;
} ActiveExpert;

typedef struct {
  int32_t expert, first_slot, slots;
} Tile;

/* Who computes what: the slots in the order of experts. */
struct Dispatch {
  int32_t active_count, tile_count, slot_count;
  ActiveExpert *active;
  Tile *tiles;
  int32_t *slots;
};

int most_tiles(const Sizes *sizes, int rows) {
  const int slots = rows * sizes->top_k;
  return slots / TILE_ROWS + at_most(sizes->experts, slots);
}

size_t dispatch_bytes(const Sizes *sizes, int rows) {
  return sizeof(struct Dispatch) + sizeof(ActiveExpert) * (size_t)sizes->experts +
         sizeof(Tile) * (size_t)most_tiles(sizes, rows) + sizeof(int32_t) * (size_t)rows * sizes->top_k;
}

/* A job of a pass over one layer. */
typedef struct {
  Model *model;
  const Pass *pass;
  const Layer *layer;
  struct Dispatch *dispatch;
  int item_outputs;
  int items_of_expert;
} Mix;

static void plan_dispatch(const Model *model, const Pass *pass, int is_last, struct Dispatch *dispatch) {
  const Sizes *sizes = &model->sizes;
  *dispatch = (struct Dispatch){.active = (ActiveExpert *)(dispatch + 1)};
  dispatch->tiles = (Tile *)(dispatch->active + sizes->experts);
  dispatch->slots = (int32_t *)(dispatch->tiles + most_tiles(sizes, (int)pass->rows));
  for (int expert = 0; expert < sizes->experts; expert++) {
    ActiveExpert own = {.expert = expert, .first_slot = dispatch->slot_count, .first_tile = dispatch->tile_count};
    for (int at = pass->expert_offsets[expert]; at < pass->expert_offsets[expert + 1]; at++) {
      const int32_t slot = pass->sorted_slots[at];
      int is_wanted = !is_last || pass->wanted == pass->rows;
      for (uint64_t i = 0; !is_wanted && i < pass->wanted; i++) is_wanted = pass->wanted_rows[i] == slot / sizes->top_k;
      if (is_wanted) dispatch->slots[dispatch->slot_count++] = slot;
    }
    own.slots = dispatch->slot_count - own.first_slot;
    if (own.slots == 0) continue;
    for (int done = 0; done < own.slots; done += TILE_ROWS) {
      dispatch->tiles[dispatch->tile_count++] = (Tile){
          .expert = expert, .first_slot = own.first_slot + done, .slots = at_most(TILE_ROWS, own.slots - done)};
    }
    own.tiles = dispatch->tile_count - own.first_tile;
    dispatch->active[dispatch->active_count++] = own;
  }
}

/* Decoding */

/* Outputs whose activations are a block of columns of the next matrix: gate and up of each. */
enum { BLOCK_OUTPUTS = 2 * MX_COLUMNS };

/* Some outputs of an expert. */
typedef struct {
  const ActiveExpert *expert;
  int first, end;
} Part;

INLINE Part part_of(const Mix *mix, int item, int outputs) {
  const int first = item % mix->items_of_expert * mix->item_outputs;
  return (Part){&mix->dispatch->active[item / mix->items_of_expert], first, at_most(outputs, first + mix->item_outputs)};
}

/* Some slots of a part's expert, at most ROWS_AT_ONCE: what a matrix gets of each, and where its outputs go. */
typedef struct {
  int count;
  size_t slot[ROWS_AT_ONCE];
  const Group *x[ROWS_AT_ONCE];
  float *output[ROWS_AT_ONCE];
} Slots;

static Slots slots_from(const Mix *mix, Part part, int first) {
  Slots slots = {.count = at_most(ROWS_AT_ONCE, part.expert->slots - first)};
  for (int i = 0; i < slots.count; i++) slots.slot[i] = (size_t)mix->dispatch->slots[part.expert->first_slot + first + i];
  return slots;
}

INLINE void multiply_slots(const Mix *mix, int thread, Part part, const Slots *slots, const uint8_t *codes,
                           const uint8_t *scales, const float *bias, int columns, int outputs) {
  const size_t blocks = (size_t)part.expert->expert * outputs * (columns / MX_COLUMNS);
  const uint8_t *own_codes = codes + blocks * MX_BYTES, *own_scales = scales + blocks;
  const float *own_bias = bias + (size_t)part.expert->expert * outputs;
  const int paired = HAS_QUANT_PAIRS ? slots->count / 2 * 2 : 0;
  if (paired > 0) {
    char *memory = (char *)mix->model->at.pairs + (size_t)thread * pair_bytes(widest_quants(&mix->model->sizes));
    multiply_pairs(own_codes, own_scales, own_bias, slots->x, columns, part.first, part.end, slots->output, paired, memory);
  }
  if (paired == slots->count) return;
  multiply_quants(own_codes, own_scales, own_bias, slots->x + paired, columns, part.first, part.end, slots->output + paired,
                  slots->count - paired);
}

INLINE int gate_up_outputs(const Sizes *sizes) { return item_outputs(sizes->hidden, 1, BLOCK_OUTPUTS); }

size_t decode_floats(const Sizes *sizes) { return (size_t)ROWS_AT_ONCE * gate_up_outputs(sizes); }

/* Gate and up, and what is activated of them. */
static void decode_gate_up(void *job, int item, int thread) {
  const Mix *mix = job;
  const Model *model = mix->model;
  const Layer *layer = mix->layer;
  const Sizes *sizes = &model->sizes;
  const int width = sizes->intermediate;
  const size_t groups = quant_groups(sizes);
  const Part part = part_of(mix, item, 2 * width);
  /* In the thread's own caches: nobody else reads it. */
  float *own = model->at.gate_up_parts + thread * decode_floats(sizes);
  for (int done = 0; done < part.expert->slots; done += ROWS_AT_ONCE) {
    Slots slots = slots_from(mix, part, done);
    for (int i = 0; i < slots.count; i++) {
      slots.x[i] = model->at.quants + slots.slot[i] / sizes->top_k * groups;
      slots.output[i] = own + (size_t)i * mix->item_outputs;
    }
    multiply_slots(mix, thread, part, &slots, layer->gate_up_codes, layer->gate_up_scales, layer->gate_up_bias,
                   sizes->hidden, 2 * width);
    for (int i = 0; i < slots.count; i++) {
      float *some = slots.output[i];
      /* In place: half as much, from the front. */
      swiglu(some, some, (part.end - part.first) / 2, model->swiglu_limit);
      quantize_columns(some, model->at.activated_quants + slots.slot[i] * groups, width, part.first / 2, part.end / 2);
    }
  }
}

static void decode_down(void *job, int item, int thread) {
  const Mix *mix = job;
  const Model *model = mix->model;
  const Layer *layer = mix->layer;
  const Sizes *sizes = &model->sizes;
  const Part part = part_of(mix, item, sizes->hidden);
  for (int done = 0; done < part.expert->slots; done += ROWS_AT_ONCE) {
    Slots slots = slots_from(mix, part, done);
    for (int i = 0; i < slots.count; i++) {
      slots.x[i] = model->at.activated_quants + slots.slot[i] * quant_groups(sizes);
      slots.output[i] = model->at.expert_output + slots.slot[i] * sizes->hidden + part.first;
    }
    multiply_slots(mix, thread, part, &slots, layer->down_codes, layer->down_scales, layer->down_bias, sizes->intermediate,
                   sizes->hidden);
  }
}

/* Of rows that attend_layer has left as whole numbers. */
static void decode_experts(Mix *mix) {
  Pool *pool = mix->model->pool;
  const Sizes *sizes = &mix->model->sizes;
  const struct Dispatch *dispatch = mix->dispatch;
  mix->item_outputs = gate_up_outputs(sizes);
  mix->items_of_expert = parts_of(2 * sizes->intermediate, mix->item_outputs);
  share_items(pool, decode_gate_up, mix, dispatch->active_count * mix->items_of_expert);
  mix->item_outputs = item_outputs(sizes->intermediate, 1, MX_COLUMNS);
  mix->items_of_expert = parts_of(sizes->hidden, mix->item_outputs);
  share_items(pool, decode_down, mix, dispatch->active_count * mix->items_of_expert);
}

/* Prefill */

static void pack_normed(void *job, int item, int thread) {
  (void)thread;
  const Mix *mix = job;
  const Model *model = mix->model;
  const Sizes *sizes = &model->sizes;
  const Tile *tile = &mix->dispatch->tiles[item];
  const float *rows[TILE_ROWS];
  for (int i = 0; i < tile->slots; i++) {
    rows[i] = model->at.normed + (size_t)(mix->dispatch->slots[tile->first_slot + i] / sizes->top_k) * sizes->hidden;
  }
  pack_tile(rows, tile->slots, sizes->hidden, model->at.arranged + item * tile_floats(sizes->hidden));
}

/* A panel of outputs of one matrix of an expert, for all of its tiles. */
INLINE void multiply_tiles(const Mix *mix, int item, int thread, const uint8_t *codes, const uint8_t *scales,
                           const float *bias, int columns, int outputs, float *output) {
  const Model *model = mix->model;
  const Sizes *sizes = &model->sizes;
  const ActiveExpert *own = &mix->dispatch->active[item / mix->items_of_expert];
  const int out = item % mix->items_of_expert * PANEL;
  const size_t blocks = (size_t)own->expert * outputs * (columns / MX_COLUMNS);
  const float *own_bias = bias + (size_t)own->expert * outputs;
  float *panel = model->at.panels + thread * panel_floats(at_least(at_least(sizes->hidden, sizes->intermediate),
                                                                   attended_width(sizes)));
  widen_mxfp4(codes + blocks * MX_BYTES, scales + blocks, columns, out, outputs, panel);
  for (int i = 0; i < own->tiles; i++) {
    const Tile *tile = &mix->dispatch->tiles[own->first_tile + i];
    float sums[TILE_ROWS * PANEL];
    multiply_panel(model->at.arranged + (own->first_tile + i) * tile_floats(columns), panel, columns, tile->slots, sums);
    for (int row = 0; row < tile->slots; row++) {
      float *to = output + (size_t)mix->dispatch->slots[tile->first_slot + row] * outputs;
      for (int o = 0; o < at_most(PANEL, outputs - out); o++) to[out + o] = sums[row * PANEL + o] + own_bias[out + o];
    }
  }
}

static void prefill_gate_up(void *job, int item, int thread) {
  const Mix *mix = job;
  const Layer *layer = mix->layer;
  const Sizes *sizes = &mix->model->sizes;
  multiply_tiles(mix, item, thread, layer->gate_up_codes, layer->gate_up_scales, layer->gate_up_bias, sizes->hidden,
                 2 * sizes->intermediate, mix->model->at.gate_up);
}

static void prefill_activate(void *job, int item, int thread) {
  (void)thread;
  const Mix *mix = job;
  const Model *model = mix->model;
  const int width = model->sizes.intermediate;
  const Tile *tile = &mix->dispatch->tiles[item];
  const float *rows[TILE_ROWS];
  for (int i = 0; i < tile->slots; i++) {
    const int slot = mix->dispatch->slots[tile->first_slot + i];
    float *activated = model->at.activated + (size_t)slot * width;
    swiglu(model->at.gate_up + (size_t)slot * 2 * width, activated, width, model->swiglu_limit);
    rows[i] = activated;
  }
  pack_tile(rows, tile->slots, width, model->at.arranged + item * tile_floats(width));
}

static void prefill_down(void *job, int item, int thread) {
  const Mix *mix = job;
  const Layer *layer = mix->layer;
  const Sizes *sizes = &mix->model->sizes;
  multiply_tiles(mix, item, thread, layer->down_codes, layer->down_scales, layer->down_bias, sizes->intermediate,
                 sizes->hidden, mix->model->at.expert_output);
}

static void prefill_experts(Mix *mix) {
  Pool *pool = mix->model->pool;
  const Sizes *sizes = &mix->model->sizes;
  const struct Dispatch *dispatch = mix->dispatch;
  share_items(pool, pack_normed, mix, dispatch->tile_count);
  mix->items_of_expert = parts_of(2 * sizes->intermediate, PANEL);
  share_items(pool, prefill_gate_up, mix, dispatch->active_count * mix->items_of_expert);
  share_items(pool, prefill_activate, mix, dispatch->tile_count);
  mix->items_of_expert = parts_of(sizes->hidden, PANEL);
  share_items(pool, prefill_down, mix, dispatch->active_count * mix->items_of_expert);
}

void add_experts(const Model *model, const Pass *pass, int row) {
  const Sizes *sizes = &model->sizes;
  int32_t places[64];
  for (int k = 0; k < sizes->top_k; k++) places[k] = row * sizes->top_k + k;
  combine(model->at.expert_output, places, pass->weights + (size_t)row * sizes->top_k, sizes->top_k,
          model->at.residual + (size_t)row * sizes->hidden, sizes->hidden);
}

void compute_experts(Model *model, const Pass *pass, int layer) {
  Mix mix = {.model = model, .pass = pass, .layer = &model->layers[layer], .dispatch = model->at.dispatch};
  plan_dispatch(model, pass, layer == model->sizes.layers - 1, mix.dispatch);
  if (pass->is_prefill) prefill_experts(&mix);
  else decode_experts(&mix);
}
