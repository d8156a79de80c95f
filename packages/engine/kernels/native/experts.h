/* The experts of a layer, by what the router chose. */
#pragma once

#include "model.h"

/* Bytes of the dispatch of a pass with so many rows. */
size_t dispatch_bytes(const Sizes *sizes, int rows);
/* Tiles that the slots of so many rows make at most: each expert's, the last of which may not be full. */
int most_tiles(const Sizes *sizes, int rows);

/* Floats that each thread has for itself in decoding. */
size_t decode_floats(const Sizes *sizes);

/*
 * What the experts make of `normed` (openai/gpt-oss, torch/model.py, MLPBlock). After the last layer only rows whose logits
 * are wanted go on: those alone are computed there.
 */
void compute_experts(Model *model, const Pass *pass, int layer);
/* residual += what the experts made of a row, combined by the router's weights. */
void add_experts(const Model *model, const Pass *pass, int row);
