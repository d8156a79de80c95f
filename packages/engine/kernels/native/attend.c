#include "attend.h"

#include "attention.h"
#include "experts.h"
#include "panels.h"
#include "quants.h"
#include "rows.h"

/* Rows of an item, and the least outputs of one. */
enum { ITEM_ROWS = 4, ITEM_UNIT = 32 };

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
  /* Whether rows of decoding go through several operations in one job: see go_by_rows. */
  int by_rows;
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
                    (size_t)work->outputs, work->rows, wide);
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
  if (!work->by_rows) return;
  const int experts = model->sizes.experts;
  multiply_rows(work->layer->gate, work->layer->gate_bias, model->at.arranged + (size_t)first * width, width, 0, experts,
                work->pass->router_logits + (size_t)first * experts, (size_t)experts, end - first, NULL);
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

/*
 * Some rows of one key-value head. Rows of prefill see the same keys: those of a head come one after the other. Of decoding
 * the heads of a row do: the thread that kept its key and value has them in its caches.
 */
static void attend_rows(void *job, int item, int thread) {
  const Work *work = job;
  const Model *model = work->model;
  const Sizes *sizes = &model->sizes;
  const int parts = parts_of(work->rows, ITEM_ROWS);
  const int kv_head = work->pass->is_prefill ? item / parts : item % sizes->kv_heads;
  const int heads = sizes->heads / sizes->kv_heads;
  const int first_row = (work->pass->is_prefill ? item % parts : item / sizes->kv_heads) * ITEM_ROWS;
  const int end = at_most(work->rows, first_row + ITEM_ROWS);
  const size_t offset = (size_t)kv_head * heads * sizes->head_dim;
  float *scores = model->at.scores + (size_t)thread * heads * (size_t)model->positions;
  for (int i = first_row; i < end; i++) {
    const Row *row = &work->pass->row[i];
    const int first = work->layer->has_window ? at_least(0, row->position - sizes->window + 1) : 0;
    attend_head(model->at.qkv + (size_t)i * qkv_width(sizes) + offset, work->layer->sinks + kv_head * heads, sizes, kv_head,
                table_of(work, row), layer_blocks(work), kv_block_floats(sizes), first, row->position, scores,
                model->at.attended + (size_t)i * attended_width(sizes) + offset);
  }
}

/* From query, key and value to what the output projection takes. In decoding no row sees another's key. */
static void attend_whole_rows(void *job, int item, int thread) {
  const Work *work = job;
  const int kv_heads = work->model->sizes.kv_heads;
  rotate_and_keep(job, item, thread);
  for (int kv_head = 0; kv_head < kv_heads; kv_head++) attend_rows(job, item * kv_heads + kv_head, thread);
  arrange_attended(job, item, thread);
}

/* Whether there are rows for every thread, and none so long that the others would wait for it. */
static int go_by_rows(const Model *model, const Pass *pass) {
  const int threads = model->pool->threads;
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
  work.by_rows = go_by_rows(model, pass);
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
  if (work.by_rows) {
    share_items(model->pool, attend_whole_rows, &work, row_items);
  } else {
    share_items(model->pool, rotate_and_keep, &work, row_items);
    share_items(model->pool, attend_rows, &work, sizes->kv_heads * row_items);
    if (!pass->is_prefill) share_items(model->pool, arrange_attended, &work, row_items);
  }

  work.matrices[0] = (Matrix){layer->output, sizes->hidden};
  work.matrices[1] = work.matrices[2] = (Matrix){0};
  work.bias = layer->output_bias;
  work.columns = attended_width(sizes);
  work.input = model->at.attended;
  work.output = model->at.normed;
  project(&work);
  share_items(model->pool, add_and_norm, &work, row_items);
  if (work.by_rows) return;

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
