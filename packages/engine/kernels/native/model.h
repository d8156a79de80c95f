/*
 * A model, and the memory that a pass over its layers works in. src/runners/native/ makes them, by the entries of step.c.
 *
 * A pass computes rows: one token each, at a position of a sequence. Rows of decoding and rows of prefill are computed by
 * different kernels (matrices by rows.h and quants.h, or by panels.h), each in an order of sums that no other row changes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pool.h"
#include "vectors.h"

/* Positions of a KV block (src/runners/kv-sequences.ts). */
enum { BLOCK_POSITIONS = 16 };
/* Columns that share a scale in MXFP4, and bytes of their codes. */
enum { MX_COLUMNS = 32, MX_BYTES = 16 };

/* Sizes, as native_open gets them: i32 in this order. */
typedef struct {
  int32_t hidden, intermediate, layers, experts, top_k, heads, kv_heads, head_dim, vocabulary;
  /* Ids that have a token: the largest logit is looked for among them. */
  int32_t candidates;
  /* Positions that a layer with a window sees, the token itself included. */
  int32_t window;
  /* Layers that share the larger of the two kinds of KV blocks. */
  int32_t kv_layers;
} Sizes;

/* One layer's weights, where they lie: matrices bf16 [out][in], vectors f32. In the order in which native_layer gets them. */
typedef struct {
  const float *input_norm;
  const uint16_t *query, *key, *value;
  /* Of query, key and value on end. */
  const float *qkv_bias;
  const float *sinks;
  const uint16_t *output;
  const float *output_bias;
  const float *expert_norm;
  const uint16_t *gate;
  const float *gate_bias;
  /* MXFP4: codes [experts][out][in / 32][16], scales [experts][out][in / 32]; gate and up are neighbouring rows. */
  const uint8_t *gate_up_codes, *gate_up_scales;
  const float *gate_up_bias;
  const uint8_t *down_codes, *down_scales;
  const float *down_bias;
  /* Not 0 for a layer with a window, and the layer's number among those of its kind. */
  uint64_t has_window, kv_layer;
} Layer;

/* One row of a pass: i32, as src/runners/native/pass-memory.ts writes them. */
typedef struct {
  int32_t token, position;
  /* Where in the pass's tables the row's sequence has its blocks of each kind, from block 0 of the sequence on. */
  int32_t full_table, window_table;
} Row;

/* A pass: pointers and numbers of 64 bits, as src/runners/native/pass-memory.ts writes them. */
typedef struct {
  uint64_t rows;
  /* Not 0 for rows of prefill. */
  uint64_t is_prefill;
  const Row *row;
  const int32_t *tables;
  /* f32 [positions][head_dim / 2]. */
  const float *cosine, *sine;
  /* f32 [rows][experts]: what native_attend leaves for the router. */
  float *router_logits;
  /* What the router chose: weights f32 [rows][top_k], and its dispatch plan. */
  const float *weights;
  const int32_t *expert_offsets, *sorted_slots;
  /* Rows whose logits are wanted, ascending; f32 [wanted][vocabulary]; the largest one's id of each, -1 for none. */
  uint64_t wanted;
  const int32_t *wanted_rows;
  float *logits;
  int32_t *largest;
} Pass;

/* Memory of a pass: f32 but for the last four. */
typedef struct {
  /* The residual stream, and what the norms make of it: [rows][hidden]. */
  float *residual, *normed;
  /* Query, key and value of each row on end, and what attention makes of the queries. */
  float *qkv, *attended;
  /* Rows as matrices take them: see rows.h and panels.h. */
  float *arranged;
  /* Of each thread: some rows of what attention leaves, arranged. */
  float *arranged_attended;
  /* [slots][2 * intermediate], [slots][intermediate] and [slots][hidden]. */
  float *gate_up, *activated, *expert_output;
  /* Of each thread: scores of attention, panels and rows of weights, and gate and up of some slots: see experts.c. */
  float *scores, *panels, *wide, *gate_up_parts;
  /* Rows, and what is activated of slots, as whole numbers: see quants.h. */
  struct Group *quants, *activated_quants;
  /* Of each thread: see quant_pairs.h. */
  void *pairs;
  /* The dispatch of a pass: see experts.c. */
  struct Dispatch *dispatch;
} Workspace;

typedef struct {
  Sizes sizes;
  float epsilon, swiglu_limit;
  Pool *pool;
  const uint16_t *embedding, *head;
  const float *final_norm;
  Layer *layers;
  float *kv;
  /* Rows and positions that the workspace has room for, and its memory. */
  int32_t rows, positions;
  Workspace at;
  void *work_memory;
  size_t work_bytes, kv_bytes, own_bytes;
} Model;

INLINE int qkv_width(const Sizes *sizes) { return (sizes->heads + 2 * sizes->kv_heads) * sizes->head_dim; }
INLINE int attended_width(const Sizes *sizes) { return sizes->heads * sizes->head_dim; }
/* f32 that one layer has in a KV block. */
INLINE size_t kv_layer_floats(const Sizes *sizes) {
  return (size_t)2 * sizes->kv_heads * BLOCK_POSITIONS * sizes->head_dim;
}
INLINE size_t kv_block_floats(const Sizes *sizes) { return kv_layer_floats(sizes) * (size_t)sizes->kv_layers; }
INLINE int at_most(int a, int b) { return a < b ? a : b; }
INLINE int at_least(int a, int b) { return a > b ? a : b; }
/* Columns of the widest bf16 matrix. */
INLINE int widest_matrix(const Sizes *sizes) { return at_least(sizes->hidden, attended_width(sizes)); }
INLINE int parts_of(int whole, int part) { return (whole + part - 1) / part; }

/*
 * Outputs of an item of decoding, a multiple of `unit`: so many that threads seldom meet, and so few that none waits long
 * for another's last one. A matrix of a real model has one unit, some hundred kilobytes.
 */
enum { ITEM_WEIGHTS = 1 << 15, ITEM_PRODUCTS = 1 << 18 };
INLINE int item_outputs(int columns, int rows, int unit) {
  return at_least(1, at_most(ITEM_WEIGHTS, ITEM_PRODUCTS / rows) / (unit * columns)) * unit;
}
