/*
 * A small model of made-up weights, run through the entries of a native library without Node.js: what a library for
 * another architecture is tested by, in an emulator. Prints of every step, one a line, a hash of all logits, and each wanted row's largest logit's id and first
 * logit.
 *
 * Link it with the sources of kernels/native. Options: threads, rows of decoding, rows of a prompt, steps; then the sizes:
 * hidden, intermediate, layers, experts, top_k, heads, kv_heads, head_dim, vocabulary, window.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

int32_t native_abi(void);
Model *native_open(const int32_t *sizes, float epsilon, float limit, int32_t threads, uint64_t kv_blocks);
void native_layer(Model *model, int32_t layer, const uint64_t *pointers);
void native_ends(Model *model, const uint64_t *pointers);
int32_t native_room(Model *model, int32_t rows, int32_t positions);
void native_step(Model *model, const Pass *pass, int32_t layer);
void native_close(Model *model);

enum { MOST_POSITIONS = 1024, MOST_EXPERTS = 128 };

static uint32_t random_bits(void) {
  static uint32_t state = 1;
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

/* Between -size and size; exact, so that every machine has the same. */
static float random_float(float size) { return size * ((float)(random_bits() >> 8) / 8388608.0f - 1.0f); }

/* Fowler, Noll and Vo's hash (FNV-1a) of the bytes. */
static uint64_t hash_of(const void *bytes, size_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
  return hash;
}

static uint64_t address_of(const void *memory) { return (uint64_t)(uintptr_t)memory; }

static uint64_t floats(size_t count, float size) {
  float *values = malloc(sizeof(float) * count);
  for (size_t i = 0; i < count; i++) values[i] = random_float(size);
  return address_of(values);
}

static uint64_t halves(size_t count, float size) {
  uint16_t *values = malloc(sizeof(uint16_t) * count);
  for (size_t i = 0; i < count; i++) {
    const float value = random_float(size);
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    values[i] = (uint16_t)(bits >> 16);
  }
  return address_of(values);
}

static uint64_t codes(size_t count) {
  uint8_t *values = malloc(count);
  for (size_t i = 0; i < count; i++) values[i] = (uint8_t)(random_bits() >> 16);
  return address_of(values);
}

/* Scales about 2^-6; one in 64 is the smallest that there is. */
static uint64_t scales(size_t count) {
  uint8_t *values = malloc(count);
  for (size_t i = 0; i < count; i++) values[i] = random_bits() % 64 == 0 ? 0 : (uint8_t)(119 + random_bits() % 3);
  return address_of(values);
}

/* The largest logits of a row, the lower expert first among equals; weights 1/2, 1/3, 1/4 and on. */
static void route(const Sizes *sizes, const Pass *pass, float *weights, int32_t *offsets, int32_t *slots) {
  static int32_t chosen[MOST_POSITIONS * 64];
  const int experts = sizes->experts;
  for (uint64_t row = 0; row < pass->rows; row++) {
    char is_taken[MOST_EXPERTS] = {0};
    for (int k = 0; k < sizes->top_k; k++) {
      int best = -1;
      for (int e = 0; e < experts; e++) {
        const float *logits = pass->router_logits + row * experts;
        if (!is_taken[e] && (best < 0 || logits[e] > logits[best])) best = e;
      }
      is_taken[best] = 1;
      chosen[row * sizes->top_k + k] = best;
      weights[row * sizes->top_k + k] = 1.0f / (float)(k + 2);
    }
  }
  int end = 0;
  for (int e = 0; e < experts; e++) {
    offsets[e] = end;
    for (uint64_t slot = 0; slot < pass->rows * sizes->top_k; slot++) {
      if (chosen[slot] == e) slots[end++] = (int32_t)slot;
    }
  }
  offsets[experts] = end;
}

int main(int count, char **options) {
  if (count != 15) return 2;
  int32_t n[15];
  for (int i = 1; i < 15; i++) n[i] = atoi(options[i]);
  const int threads = n[1], decode_rows = n[2], prompt_rows = n[3], steps = n[4];
  const Sizes sizes = {.hidden = n[5], .intermediate = n[6], .layers = n[7], .experts = n[8], .top_k = n[9],
                       .heads = n[10], .kv_heads = n[11], .head_dim = n[12], .vocabulary = n[13],
                       .candidates = n[13] - 1, .window = n[14], .kv_layers = (n[7] + 1) / 2};
  const size_t h = (size_t)sizes.hidden, f = (size_t)sizes.intermediate, e = (size_t)sizes.experts;
  const size_t attended = (size_t)attended_width(&sizes), keys = (size_t)sizes.kv_heads * (size_t)sizes.head_dim;
  const int sequences = at_least(decode_rows, 1);
  const int blocks = 2 * parts_of(prompt_rows + steps + 1, BLOCK_POSITIONS);
  printf("interface %d\n", native_abi());
  Model *model = native_open((const int32_t *)&sizes, 1e-5f, 7.0f, threads, (uint64_t)(sequences * blocks));
  if (model == NULL) return 3;
  for (int layer = 0; layer < sizes.layers; layer++) {
    const uint64_t pointers[] = {
        floats(h, 1), halves(attended * h, 0.1f), halves(keys * h, 0.1f), halves(keys * h, 0.1f),
        floats(attended + 2 * keys, 0.1f), floats((size_t)sizes.heads, 1), halves(h * attended, 0.1f), floats(h, 0.1f),
        floats(h, 1), halves(e * h, 0.1f), floats(e, 0.1f),
        codes(e * 2 * f * h / 2), scales(e * 2 * f * h / MX_COLUMNS), floats(e * 2 * f, 0.1f),
        codes(e * h * f / 2), scales(e * h * f / MX_COLUMNS), floats(e * h, 0.1f),
        (uint64_t)(layer % 2 == 0), (uint64_t)(layer / 2)};
    native_layer(model, layer, pointers);
  }
  const size_t vocabulary = (size_t)sizes.vocabulary;
  const uint64_t ends[] = {halves(vocabulary * h, 1), floats(h, 1), halves(vocabulary * h, 0.1f)};
  native_ends(model, ends);

  const size_t most_rows = (size_t)at_least(sequences, prompt_rows);
  const uint64_t angles = floats(MOST_POSITIONS * (size_t)sizes.head_dim / 2, 1);
  const uint64_t sines = floats(MOST_POSITIONS * (size_t)sizes.head_dim / 2, 1);
  int32_t *tables = malloc(sizeof(int32_t) * (size_t)(sequences * blocks));
  for (int i = 0; i < sequences * blocks; i++) tables[i] = i;
  Row *rows = calloc(most_rows, sizeof(Row));
  float *weights = calloc(most_rows * (size_t)sizes.top_k, sizeof(float));
  int32_t *offsets = calloc(e + 1, sizeof(int32_t)), *slots = calloc(most_rows * (size_t)sizes.top_k, sizeof(int32_t));
  int32_t *wanted = calloc(most_rows, sizeof(int32_t)), *largest = calloc(most_rows, sizeof(int32_t));
  Pass pass = {.row = rows, .tables = tables, .cosine = (const float *)(uintptr_t)angles,
               .sine = (const float *)(uintptr_t)sines, .router_logits = calloc(most_rows * e, sizeof(float)),
               .weights = weights, .expert_offsets = offsets, .sorted_slots = slots, .wanted_rows = wanted,
               .logits = calloc((size_t)sequences * vocabulary, sizeof(float)), .largest = largest};

  for (int step = -sequences; step < steps; step++) {
    /* First each sequence's prompt, then a token of each. */
    pass.is_prefill = step < 0;
    if (pass.is_prefill && prompt_rows == 0) continue;
    pass.rows = (uint64_t)(pass.is_prefill ? prompt_rows : sequences);
    for (int row = 0; row < (int)pass.rows; row++) {
      const int sequence = pass.is_prefill ? step + sequences : row;
      rows[row] = (Row){.token = (int32_t)(random_bits() % vocabulary),
                        .position = pass.is_prefill ? row : prompt_rows + step,
                        .full_table = sequence * blocks,
                        .window_table = sequence * blocks + blocks / 2};
    }
    pass.wanted = (uint64_t)(pass.is_prefill ? 1 : sequences);
    for (int i = 0; i < (int)pass.wanted; i++) wanted[i] = pass.is_prefill ? prompt_rows - 1 : i;
    if (!native_room(model, (int32_t)pass.rows, prompt_rows + steps)) return 3;
    for (int layer = 0; layer <= sizes.layers; layer++) {
      native_step(model, &pass, layer);
      if (layer < sizes.layers) route(&sizes, &pass, weights, offsets, slots);
    }
    printf("%016llx", (unsigned long long)hash_of(pass.logits, sizeof(float) * pass.wanted * vocabulary));
    for (int i = 0; i < (int)pass.wanted; i++) printf(" %d:%a", largest[i], (double)pass.logits[(size_t)i * vocabulary]);
    putchar('\n');
  }
  native_close(model);
  return 0;
}
