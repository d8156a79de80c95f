#include "attend.h"

#include "attention.h"
#include "experts.h"
#include "panels.h"
#include "quants.h"
#include "rows.h"

/* The least outputs of an item. */
enum { ITEM_UNIT = 32 };

/* bf16 matrices, one below the other, that are multiplied with the same rows: up to three. */
typedef struct {
  const uint16_t *weight;
  int outputs;
} Matrix;

/* A job of a pass over one layer. */
typedef struct {
  Model *model;
  const Pass *pass;
  const Layer *layer;
  int layer_index, rows;
  /* Of matrices times rows. */
  Matrix matrices[3];
  const float *bias;
  int columns, outputs;
  const float *input;
  float *output;
} Work;

/* Matrices times rows: arranged rows of decoding, by outputs; tiles of prefill, by panels. */

static void decode_outputs(void *job, int item, int thread) {
  const Work *work = job;
  const Workspace *at = &work->model->at;
  float *wide = at->wide + (size_t)thread * wide_floats(widest_matrix(&work->model->sizes));
  const int outputs = item_outputs(work->columns, work->rows, ITEM_UNIT);
  int first = item * outputs;
  int end = at_most(work->outputs, first + outputs);
  float *output = work->output;
  const float *bias = work->bias;
  for (const Matrix *matrix = work->matrices; first < end; matrix++) {
    if (first < matrix->outputs) {
      multiply_rows(matrix->weight, bias, at->arranged, work->columns, first, at_most(end, matrix->outputs), output,
                    (size_t)work->outputs, work->rows, wide, NULL);
    }
    end -= matrix->outputs;
    first = at_least(0, first - matrix->outputs);
    output += matrix->outputs;
    if (bias != NULL) bias += matrix->outputs;
  }
}

static void prefill_panel(void *job, int item, int thread) {
  const Work *work = job;
  const Model *model = work->model;
  const Sizes *sizes = &model->sizes;
  const Matrix *matrix = work->matrices;
  int before = 0;
  while (item >= parts_of(matrix->outputs, PANEL)) {
    item -= parts_of(matrix->outputs, PANEL);
    before += matrix->outputs;
    matrix++;
  }
  const int out = item * PANEL;
  float *panel = model->at.panels + thread * panel_floats(at_least(at_least(sizes->hidden, sizes->intermediate),
                                                                   attended_width(sizes)));
  widen_bf16(matrix->weight, work->columns, out, matrix->outputs, panel);
  const float *bias = work->bias + before + out;
  for (int first = 0; first < work->rows; first += TILE_ROWS) {
    const int count = at_most(TILE_ROWS, work->rows - first);
    float sums[TILE_ROWS * PANEL];
    multiply_panel(model->at.arranged + first / TILE_ROWS * tile_floats(work->columns), panel, work->columns, count, sums);
    for (int row = 0; row < count; row++) {
      float *to = work->output + (size_t)(first + row) * work->outputs + before + out;
      for (int o = 0; o < at_most(PANEL, matrix->outputs - out); o++) to[o] = sums[row * PANEL + o] + bias[o];
    }
  }
}

static void pack_rows(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const int first = item * TILE_ROWS;
  const int count = at_most(TILE_ROWS, work->rows - first);
  const float *rows[TILE_ROWS];
  for (int row = 0; row < count; row++) rows[row] = work->input + (size_t)(first + row) * work->columns;
  pack_tile(rows, count, work->columns, work->model->at.arranged + item * tile_floats(work->columns));
}

/* output[row] = matrices * input[row] + bias, of all rows; of decoding, their arranged rows are there. */
static void project(Work *work) {
  Pool *pool = work->model->pool;
  work->outputs = 0;
  int panels = 0;
  for (int i = 0; i < 3; i++) {
    work->outputs += work->matrices[i].outputs;
    panels += parts_of(work->matrices[i].outputs, PANEL);
  }
  if (work->pass->is_prefill) {
    share_items(pool, pack_rows, work, parts_of(work->rows, TILE_ROWS));
    share_items(pool, prefill_panel, work, panels);
  } else {
    share_items(pool, decode_outputs, work, parts_of(work->outputs, item_outputs(work->columns, work->rows, ITEM_UNIT)));
  }
}

/* Rows by rows */

static void arrange_for_decode(const Work *work, const float *input, int row, int width) {
  if (work->pass->is_prefill) return;
  arrange_row(input + (size_t)row * width, work->model->at.arranged + (size_t)row * width, width);
}

static void embed_row(const Model *model, int token, float *output) {
  const int width = model->sizes.hidden;
  const uint16_t *from = model->embedding + (size_t)token * width;
  for (int i = 0; i < width; i++) output[i] = widen(from[i]);
}

static void begin_rows(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Model *model = work->model;
  const int width = model->sizes.hidden;
  const int end = at_most(work->rows, (item + 1) * ITEM_ROWS);
  for (int row = item * ITEM_ROWS; row < end; row++) {
    float *residual = model->at.residual + (size_t)row * width;
    if (work->layer_index == 0) embed_row(model, work->pass->row[row].token, residual);
    else add_experts(model, work->pass, row);
    rms_norm(residual, work->layer->input_norm, model->epsilon, model->at.normed + (size_t)row * width, width);
    arrange_for_decode(work, model->at.normed, row, width);
  }
}

static void arrange_attended(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const int end = at_most(work->rows, (item + 1) * ITEM_ROWS);
  for (int row = item * ITEM_ROWS; row < end; row++) {
    arrange_for_decode(work, work->model->at.attended, row, attended_width(&work->model->sizes));
  }
}

/*
 * Adds the output projection, which lies where the norm goes, to the residual stream; what the norm makes of it is for gate
 * and experts.
 */
static void add_and_norm(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Model *model = work->model;
  const int width = model->sizes.hidden;
  const int first = item * ITEM_ROWS;
  const int end = at_most(work->rows, first + ITEM_ROWS);
  for (int row = first; row < end; row++) {
    float *residual = model->at.residual + (size_t)row * width;
    float *normed = model->at.normed + (size_t)row * width;
    for (int i = 0; i < width; i++) residual[i] += normed[i];
    rms_norm(residual, work->layer->expert_norm, model->epsilon, normed, width);
    arrange_for_decode(work, model->at.normed, row, width);
    if (!work->pass->is_prefill) {
      quantize_columns(normed, model->at.quants + (size_t)row * quant_groups(&model->sizes), width, 0, width);
    }
  }
}

static const int32_t *table_of(const Work *work, const Row *row) {
  return work->pass->tables + (work->layer->has_window ? row->window_table : row->full_table);
}

static float *layer_blocks(const Work *work) {
  return work->model->kv + work->layer->kv_layer * kv_layer_floats(&work->model->sizes);
}

static void rotate_and_keep(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Model *model = work->model;
  const Sizes *sizes = &model->sizes;
  const int dim = sizes->head_dim;
  const int end = at_most(work->rows, (item + 1) * ITEM_ROWS);
  for (int i = item * ITEM_ROWS; i < end; i++) {
    const Row *row = &work->pass->row[i];
    float *qkv = model->at.qkv + (size_t)i * qkv_width(sizes);
    const size_t angle = (size_t)row->position * (size_t)(dim / 2);
    rotate_heads(qkv, sizes->heads + sizes->kv_heads, dim, work->pass->cosine + angle, work->pass->sine + angle);
    const float *key = qkv + sizes->heads * dim;
    const int block = table_of(work, row)[row->position / BLOCK_POSITIONS];
    keep_key_value(key, key + sizes->kv_heads * dim, sizes, layer_blocks(work) + block * kv_block_floats(sizes),
                   row->position % BLOCK_POSITIONS);
  }
}

static Seen seen_by(const Work *work, int i, int kv_head) {
  const Sizes *sizes = &work->model->sizes;
  const Row *row = &work->pass->row[i];
  return (Seen){.table = table_of(work, row),
                .kv = layer_blocks(work),
                .block_floats = kv_block_floats(sizes),
                .kv_head = kv_head,
                .first = work->layer->has_window ? at_least(0, row->position - sizes->window + 1) : 0,
                .position = row->position};
}

/* One key-value head of a row, before one of another. */
static void attend_row(const Work *work, int i, int kv_head, const Seen *next, int thread) {
  const Model *model = work->model;
  const Sizes *sizes = &model->sizes;
  const int heads = sizes->heads / sizes->kv_heads;
  const size_t offset = (size_t)kv_head * heads * sizes->head_dim;
  const Seen seen = seen_by(work, i, kv_head);
  attend_head(model->at.qkv + (size_t)i * qkv_width(sizes) + offset, work->layer->sinks + kv_head * heads, sizes, &seen, next,
              model->at.scores + (size_t)thread * heads * (size_t)model->positions,
              model->at.attended + (size_t)i * attended_width(sizes) + offset);
}

/*
 * Some rows of one key-value head. Rows of prefill see the same keys: those of a head come one after the other. Of decoding
 * the heads of a row do: the thread that kept its key and value has them in its caches.
 */
static void attend_rows(void *job, int item, int thread) {
  const Work *work = job;
  const int kv_heads = work->model->sizes.kv_heads;
  const int parts = parts_of(work->rows, ITEM_ROWS);
  const int kv_head = work->pass->is_prefill ? item / parts : item % kv_heads;
  const int first_row = (work->pass->is_prefill ? item % parts : item / kv_heads) * ITEM_ROWS;
  const int end = at_most(work->rows, first_row + ITEM_ROWS);
  for (int i = first_row; i < end; i++) attend_row(work, i, kv_head, NULL, thread);
}

/* Some rows of decoding: each one's heads, while those of the next one are fetched. No row sees another's key. */
static void attend_heads(const Work *work, int first, int end, int thread) {
  const int kv_heads = work->model->sizes.kv_heads;
  for (int i = first; i < end; i++) {
    for (int kv_head = 0; kv_head < kv_heads; kv_head++) {
      const int is_last = kv_head + 1 == kv_heads;
      const Seen next = seen_by(work, at_most(i + is_last, end - 1), is_last ? 0 : kv_head + 1);
      attend_row(work, i, kv_head, is_last && i + 1 == end ? NULL : &next, thread);
    }
  }
}

/* Bytes of keys and values that are fetched while rows are multiplied: a part of a processor's second cache. */
enum { FETCHED_BYTES = 1 << 18, MOST_PIECES = 128 };

/* The first keys and values that some rows see. */
static int pieces_of_rows(const Work *work, int first, int end, const void **pieces) {
  const Sizes *sizes = &work->model->sizes;
  const int most = at_most(MOST_PIECES, FETCHED_BYTES / (int)piece_bytes(sizes));
  int count = 0;
  for (int i = first; i < end; i++) {
    for (int kv_head = 0; kv_head < sizes->kv_heads; kv_head++) {
      const Seen seen = seen_by(work, i, kv_head);
      count += pieces_of(&seen, sizes, pieces + count, most - count);
    }
  }
  return count;
}

/* All of a layer, up to its router, for some rows. */
static void attend_whole_rows(void *job, int item, int thread) {
  const Work *work = job;
  const Model *model = work->model;
  const Sizes *sizes = &model->sizes;
  const Layer *layer = work->layer;
  const int hidden = sizes->hidden, attended = attended_width(sizes), key_rows = sizes->kv_heads * sizes->head_dim;
  const int first = item * ITEM_ROWS;
  const int rows = at_most(work->rows - first, ITEM_ROWS);
  begin_rows(job, item, thread);

  const void *pieces[MOST_PIECES];
  Fetch fetch = {.pieces = pieces, .piece_lines = (int)piece_bytes(sizes) / FETCHED_LINE};
  fetch.count = pieces_of_rows(work, first, first + rows, pieces);
  fetch.lines_at_once = parts_of(fetch.count * fetch.piece_lines, tiles_of(qkv_width(sizes)));
  const Matrix matrices[] = {{layer->query, attended}, {layer->key, key_rows}, {layer->value, key_rows}};
  float *wide = model->at.wide + (size_t)thread * wide_floats(widest_matrix(sizes));
  const float *normed = model->at.arranged + (size_t)first * hidden;
  float *qkv = model->at.qkv + (size_t)first * qkv_width(sizes);
  for (int i = 0, before = 0; i < 3; before += matrices[i++].outputs) {
    multiply_rows(matrices[i].weight, layer->qkv_bias + before, normed, hidden, 0, matrices[i].outputs, qkv + before,
                  (size_t)qkv_width(sizes), rows, wide, &fetch);
  }
  rotate_and_keep(job, item, thread);
  attend_heads(work, first, first + rows, thread);

  float *own = model->at.arranged_attended + (size_t)thread * ITEM_ROWS * attended;
  for (int row = 0; row < rows; row++) {
    arrange_row(model->at.attended + (size_t)(first + row) * attended, own + (size_t)row * attended, attended);
  }
  multiply_rows(layer->output, layer->output_bias, own, attended, 0, hidden, model->at.normed + (size_t)first * hidden,
                (size_t)hidden, rows, wide, NULL);
  add_and_norm(job, item, thread);
  multiply_rows(layer->gate, layer->gate_bias, normed, hidden, 0, sizes->experts,
                work->pass->router_logits + (size_t)first * sizes->experts, (size_t)sizes->experts, rows, NULL, NULL);
}

/* Bytes of a layer's matrices that each item may read anew: a processor has them in its caches from the one before. */
enum { MOST_READ_AGAIN = 1 << 20 };

/*
 * Whether rows go through all of a layer one after the other: with matrices that are small, rows for every thread, and none
 * so long that the others would wait for it.
 */
static int go_by_rows(const Model *model, const Pass *pass) {
  const Sizes *sizes = &model->sizes;
  const int threads = model->pool->threads;
  const size_t outputs = (size_t)qkv_width(sizes) + attended_width(sizes) + sizes->experts;
  if (sizeof(uint16_t) * sizes->hidden * outputs > MOST_READ_AGAIN) return 0;
  if (pass->is_prefill || parts_of((int)pass->rows, ITEM_ROWS) < 2 * threads) return 0;
  int64_t longest = 0, all = 0;
  for (uint64_t row = 0; row < pass->rows; row++) {
    const int64_t seen = pass->row[row].position + 1;
    longest = seen > longest ? seen : longest;
    all += seen;
  }
  return 2 * threads * longest <= all;
}

void attend_layer(Model *model, const Pass *pass, int index) {
  const Sizes *sizes = &model->sizes;
  const Layer *layer = &model->layers[index];
  const int rows = (int)pass->rows;
  const int row_items = parts_of(rows, ITEM_ROWS);
  Work work = {.model = model, .pass = pass, .layer = layer, .layer_index = index, .rows = rows};
  if (go_by_rows(model, pass)) {
    share_items(model->pool, attend_whole_rows, &work, row_items);
    return;
  }
  share_items(model->pool, begin_rows, &work, row_items);

  const int key_rows = sizes->kv_heads * sizes->head_dim;
  work.matrices[0] = (Matrix){layer->query, attended_width(sizes)};
  work.matrices[1] = (Matrix){layer->key, key_rows};
  work.matrices[2] = (Matrix){layer->value, key_rows};
  work.bias = layer->qkv_bias;
  work.columns = sizes->hidden;
  work.input = model->at.normed;
  work.output = model->at.qkv;
  project(&work);
  share_items(model->pool, rotate_and_keep, &work, row_items);
  share_items(model->pool, attend_rows, &work, sizes->kv_heads * row_items);
  if (!pass->is_prefill) share_items(model->pool, arrange_attended, &work, row_items);

  work.matrices[0] = (Matrix){layer->output, sizes->hidden};
  work.matrices[1] = work.matrices[2] = (Matrix){0};
  work.bias = layer->output_bias;
  work.columns = attended_width(sizes);
  work.input = model->at.attended;
  work.output = model->at.normed;
  project(&work);
  share_items(model->pool, add_and_norm, &work, row_items);

  work.matrices[0] = (Matrix){layer->gate, sizes->experts};
  work.bias = layer->gate_bias;
  work.columns = sizes->hidden;
  work.input = model->at.normed;
  work.output = pass->router_logits;
  project(&work);
}

static void end_rows(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Model *model = work->model;
  const int width = model->sizes.hidden;
  const int row = work->pass->wanted_rows[item];
  float *normed = model->at.normed + (size_t)item * width;
  add_experts(model, work->pass, row);
  rms_norm(model->at.residual + (size_t)row * width, model->final_norm, model->epsilon, normed, width);
  arrange_row(normed, model->at.arranged + (size_t)item * width, width);
}

static void find_largest(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Sizes *sizes = &work->model->sizes;
  work->pass->largest[item] = largest_of(work->pass->logits + (size_t)item * sizes->vocabulary, sizes->candidates);
}

void compute_logits(Model *model, const Pass *pass) {
  const Sizes *sizes = &model->sizes;
  const int width = sizes->hidden;
  const int wanted = (int)pass->wanted;
  if (wanted == 0) return;
  /* By the kernels of decoding in every pass: few rows are wanted of a prefill. */
  Work work = {.model = model, .pass = pass, .rows = wanted, .columns = width, .outputs = sizes->vocabulary};
  work.matrices[0] = (Matrix){model->head, sizes->vocabulary};
  work.output = pass->logits;
  share_items(model->pool, end_rows, &work, wanted);
  share_items(model->pool, decode_outputs, &work, parts_of(sizes->vocabulary, item_outputs(width, wanted, ITEM_UNIT)));
  share_items(model->pool, find_largest, &work, wanted);
}
