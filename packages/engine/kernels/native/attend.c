#include "attend.h"

#include "attention.h"
#include "panels.h"
#include "rows.h"

/* Rows of an item. */
enum { ITEM_ROWS = 4 };

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
  int rows;
  /* Of matrices times rows. */
  Matrix matrices[3];
  const float *bias;
  int columns, outputs;
  const float *input;
  float *output;
} Work;

static void embed(Model *model, const Pass *pass) {
  const int width = model->sizes.hidden;
  for (uint64_t row = 0; row < pass->rows; row++) {
    const uint16_t *from = model->embedding + (size_t)pass->row[row].token * width;
    float *to = model->at.residual + row * width;
    for (int i = 0; i < width; i++) to[i] = widen(from[i]);
  }
}

/* Matrices times rows: arranged rows of decoding, by outputs; tiles of prefill, by panels. */

static void decode_outputs(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  int first = item * item_outputs(work->columns);
  int end = at_most(work->outputs, first + item_outputs(work->columns));
  float *output = work->output;
  const float *bias = work->bias;
  for (const Matrix *matrix = work->matrices; first < end; matrix++) {
    if (first < matrix->outputs) {
      multiply_rows(matrix->weight, bias, work->model->at.arranged, work->columns, first, at_most(end, matrix->outputs),
                    output, (size_t)work->outputs, work->rows);
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

static void arrange_rows(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  float *arranged = work->model->at.arranged;
  if (!work->pass->is_prefill) {
    arrange_row(work->input + (size_t)item * work->columns, arranged + (size_t)item * work->columns, work->columns);
    return;
  }
  const int first = item * TILE_ROWS;
  const int count = at_most(TILE_ROWS, work->rows - first);
  const float *rows[TILE_ROWS];
  for (int row = 0; row < count; row++) rows[row] = work->input + (size_t)(first + row) * work->columns;
  pack_tile(rows, count, work->columns, arranged + item * tile_floats(work->columns));
}

/* output[row] = matrices * input[row] + bias, of all rows. */
static void project(Work *work) {
  Pool *pool = work->model->pool;
  work->outputs = 0;
  int panels = 0;
  for (int i = 0; i < 3; i++) {
    work->outputs += work->matrices[i].outputs;
    panels += parts_of(work->matrices[i].outputs, PANEL);
  }
  const int is_prefill = work->pass->is_prefill != 0;
  share_items(pool, arrange_rows, work, is_prefill ? parts_of(work->rows, TILE_ROWS) : work->rows);
  if (is_prefill) share_items(pool, prefill_panel, work, panels);
  else share_items(pool, decode_outputs, work, parts_of(work->outputs, item_outputs(work->columns)));
}

/* Rows by rows */

static void norm_input(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Model *model = work->model;
  const int width = model->sizes.hidden;
  const int end = at_most(work->rows, (item + 1) * ITEM_ROWS);
  for (int row = item * ITEM_ROWS; row < end; row++) {
    rms_norm(model->at.residual + (size_t)row * width, work->layer->input_norm, model->epsilon,
             model->at.normed + (size_t)row * width, width);
  }
}

/* Adds the output projection, which lies where the norm goes, to the residual stream. */
static void add_and_norm(void *job, int item, int thread) {
  (void)thread;
  const Work *work = job;
  const Model *model = work->model;
  const int width = model->sizes.hidden;
  const int end = at_most(work->rows, (item + 1) * ITEM_ROWS);
  for (int row = item * ITEM_ROWS; row < end; row++) {
    float *residual = model->at.residual + (size_t)row * width;
    float *normed = model->at.normed + (size_t)row * width;
    for (int i = 0; i < width; i++) residual[i] += normed[i];
    rms_norm(residual, work->layer->expert_norm, model->epsilon, normed, width);
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

/* Some rows of one key-value head: neighbours, which see the same keys. */
static void attend_rows(void *job, int item, int thread) {
  const Work *work = job;
  const Model *model = work->model;
  const Sizes *sizes = &model->sizes;
  const int parts = parts_of(work->rows, ITEM_ROWS);
  const int kv_head = item / parts;
  const int heads = sizes->heads / sizes->kv_heads;
  const int first_row = item % parts * ITEM_ROWS;
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

void attend_layer(Model *model, const Pass *pass, int index) {
  const Sizes *sizes = &model->sizes;
  const Layer *layer = &model->layers[index];
  const int rows = (int)pass->rows;
  const int row_items = parts_of(rows, ITEM_ROWS);
  Work work = {.model = model, .pass = pass, .layer = layer, .rows = rows};
  if (index == 0) embed(model, pass);
  share_items(model->pool, norm_input, &work, row_items);

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

void compute_logits(Model *model, const Pass *pass) {
  const Sizes *sizes = &model->sizes;
  const int width = sizes->hidden;
  const int wanted = (int)pass->wanted;
  if (wanted == 0) return;
  for (int i = 0; i < wanted; i++) {
    float *normed = model->at.normed + (size_t)i * width;
    rms_norm(model->at.residual + (size_t)pass->wanted_rows[i] * width, model->final_norm, model->epsilon, normed, width);
    arrange_row(normed, model->at.arranged + (size_t)i * width, width);
  }
  /* By the kernels of decoding in every pass: few rows are wanted of a prefill. */
  Work work = {.model = model, .pass = pass, .rows = wanted, .columns = width, .outputs = sizes->vocabulary};
  work.matrices[0] = (Matrix){model->head, sizes->vocabulary};
  work.output = pass->logits;
  share_items(model->pool, decode_outputs, &work, parts_of(sizes->vocabulary, item_outputs(width)));
  for (int i = 0; i < wanted; i++) {
    pass->largest[i] = largest_of(pass->logits + (size_t)i * sizes->vocabulary, sizes->candidates);
  }
}
