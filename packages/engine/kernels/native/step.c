/* What src/runners/native/library.ts calls. */

#include "attend.h"
#include "experts.h"
#include "panels.h"
#include "quant_pairs.h"
#include "rows.h"

#define EXPORT __attribute__((visibility("default")))

/* Changes with what is below, and with the structures of model.h. */
enum { ABI = 2 };

EXPORT int32_t native_abi(void) { return ABI; }

/*
 * Makes a model without weights, with KV blocks for its sequences, and threads - 1 threads. NULL where there is no memory.
 *
 * sizes: i32 as in `Sizes`; epsilon: of the norms; limit: of the SwiGLU.
 */
EXPORT Model *native_open(const int32_t *sizes, float epsilon, float limit, int32_t threads, uint64_t kv_blocks) {
  Sizes own;
  __builtin_memcpy(&own, sizes, sizeof(own));
  const size_t bytes = sizeof(Model) + sizeof(Pool) + 64 + sizeof(Layer) * (size_t)own.layers;
  Model *model = take_memory(bytes);
  if (model == NULL) return NULL;
  model->sizes = own;
  model->own_bytes = bytes;
  model->epsilon = epsilon;
  model->swiglu_limit = limit;
  model->pool = (Pool *)(((uintptr_t)(model + 1) + 63) & ~(uintptr_t)63);
  model->layers = (Layer *)(model->pool + 1);
  model->kv_bytes = sizeof(float) * kv_block_floats(&own) * kv_blocks;
  model->kv = take_memory(model->kv_bytes);
  if (model->kv == NULL) {
    give_memory(model, bytes);
    return NULL;
  }
  /* A step reads blocks from all over it. */
  prefer_large_pages((uintptr_t)model->kv, model->kv_bytes);
  open_pool(model->pool, threads);
  return model;
}

/* Says that weights are mapped here, before they are read. */
EXPORT void native_mapped(uint64_t address, uint64_t bytes) { prefer_large_pages((uintptr_t)address, bytes); }

/* Tells where a layer's weights lie: `pointers` as in `Layer`. They must stay there. */
EXPORT void native_layer(Model *model, int32_t layer, const uint64_t *pointers) {
  __builtin_memcpy(&model->layers[layer], pointers, sizeof(Layer));
}

/* Tells where the weights outside of the layers lie: embedding, final norm and head. */
EXPORT void native_ends(Model *model, const uint64_t *pointers) {
  model->embedding = (const uint16_t *)(uintptr_t)pointers[0];
  model->final_norm = (const float *)(uintptr_t)pointers[1];
  model->head = (const uint16_t *)(uintptr_t)pointers[2];
}

/* Gives a part of the workspace its place; with `memory` NULL only counts. */
static void *place(char *memory, size_t *used, size_t bytes) {
  void *at = memory == NULL ? NULL : memory + *used;
  *used += (bytes + 63) & ~(size_t)63;
  return at;
}

static size_t lay_out(const Model *model, int rows, int positions, char *memory, Workspace *at) {
  const Sizes *s = &model->sizes;
  const size_t threads = (size_t)model->pool->threads;
  const size_t slots = (size_t)rows * s->top_k;
  const int widest = at_least(at_least(s->hidden, s->intermediate), attended_width(s));
  const size_t tiles = (size_t)at_least(most_tiles(s, rows), parts_of(rows, TILE_ROWS));
  size_t used = 0;
#define FLOATS(count) place(memory, &used, sizeof(float) * (size_t)(count))
  at->residual = FLOATS((size_t)rows * s->hidden);
  at->normed = FLOATS((size_t)rows * s->hidden);
  at->qkv = FLOATS((size_t)rows * qkv_width(s));
  at->attended = FLOATS((size_t)rows * attended_width(s));
  at->arranged = FLOATS(tiles * TILE_ROWS * (size_t)widest + LANES);
  at->arranged_attended = FLOATS(threads * ITEM_ROWS * (size_t)attended_width(s));
  at->gate_up = FLOATS(slots * 2 * s->intermediate);
  at->activated = FLOATS(slots * s->intermediate);
  at->expert_output = FLOATS(slots * s->hidden);
  at->scores = FLOATS(threads * (s->heads / s->kv_heads) * (size_t)positions);
  at->panels = FLOATS(threads * panel_floats(widest));
  at->wide = FLOATS(threads * wide_floats(widest_matrix(s)));
  at->gate_up_parts = FLOATS(threads * decode_floats(s));
  at->quants = place(memory, &used, sizeof(Group) * (size_t)rows * quant_groups(s));
  at->activated_quants = place(memory, &used, sizeof(Group) * slots * quant_groups(s));
  at->pairs = place(memory, &used, threads * pair_bytes(widest_quants(s)));
  at->dispatch = place(memory, &used, dispatch_bytes(s, rows));
#undef FLOATS
  return used;
}

/* Makes room for passes of so many rows, at so many positions. 0 where there is no memory. */
EXPORT int32_t native_room(Model *model, int32_t rows, int32_t positions) {
  positions = parts_of(positions, BLOCK_POSITIONS) * BLOCK_POSITIONS + BLOCK_POSITIONS;
  if (rows <= model->rows && positions <= model->positions) return 1;
  rows = at_least(rows, model->rows);
  positions = at_least(positions, model->positions);
  Workspace at;
  const size_t bytes = lay_out(model, rows, positions, NULL, &at);
  char *memory = take_memory(bytes);
  if (memory == NULL) return 0;
  give_memory(model->work_memory, model->work_bytes);
  lay_out(model, rows, positions, memory, &at);
  model->work_memory = memory;
  model->work_bytes = bytes;
  model->at = at;
  model->rows = rows;
  model->positions = positions;
  return 1;
}

/*
 * Multiplications of a call that are shared among threads: fewer are done by one before the others have joined it at each
 * of its jobs. From the first number on as long as the others keep up, from the second on always.
 */
enum { LEAST_SHARED = 1 << 20, LEAST_ALWAYS_SHARED = 1 << 21 };

static uint64_t work_of(const Model *model, const Pass *pass, int32_t layer) {
  const Sizes *s = &model->sizes;
  const uint64_t row = (uint64_t)(qkv_width(s) + attended_width(s)) + 3 * (uint64_t)s->top_k * (uint64_t)s->intermediate;
  const uint64_t head = layer == s->layers ? pass->wanted * (uint64_t)s->vocabulary : 0;
  return (uint64_t)s->hidden * (pass->rows * row + head);
}

/*
 * The experts of the layer before `layer`, by what the router has chosen there, and `layer` up to its router. From 0, which
 * has no layer before it, to the number of layers, which has the head instead.
 */
EXPORT void native_step(Model *model, const Pass *pass, int32_t layer) {
  const uint64_t work = work_of(model, pass, layer);
  model->pool->alone = work < (others_keep_up(model->pool) ? LEAST_SHARED : LEAST_ALWAYS_SHARED);
  if (layer > 0) compute_experts(model, pass, layer - 1);
  if (layer < model->sizes.layers) attend_layer(model, pass, layer);
  else compute_logits(model, pass);
}

/* Copies a KV block. */
EXPORT void native_copy_block(Model *model, uint64_t from, uint64_t to) {
  const size_t floats = kv_block_floats(&model->sizes);
  __builtin_memcpy(model->kv + to * floats, model->kv + from * floats, sizeof(float) * floats);
}

/* Ends the threads and gives all memory back. Nothing may run. */
EXPORT void native_close(Model *model) {
  close_pool(model->pool);
  give_memory(model->work_memory, model->work_bytes);
  give_memory(model->kv, model->kv_bytes);
  give_memory(model, model->own_bytes);
}
