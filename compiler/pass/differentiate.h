// The derivative of one comprehension: the body by each read, then the transposed index maps.
#pragma once

#include "internal.h"

// Adds to the adjoint of every node that the comprehension y reads, given its adjoint dy (lead axes, then y's).
void differentiate_comp(struct sweep *s, node_id y, node_id dy);
