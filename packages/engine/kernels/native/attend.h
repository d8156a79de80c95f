/*
 * A layer up to its router: what the layer before left (or the embedding), norm, query, key and value, attention, output
 * projection, norm, gate projection.
 */
#pragma once

#include "model.h"

/* Rows of an item. */
enum { ITEM_ROWS = 4 };

void attend_layer(Model *model, const Pass *pass, int layer);
/* What the last layer left, final norm and LM head of the wanted rows. */
void compute_logits(Model *model, const Pass *pass);
