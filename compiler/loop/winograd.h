// Between winograd.c, which plans, and winograd_emit.c.
#pragma once

#include "nest_run.h"

enum { WINOGRAD_TAPS = 3 }; // of a filter along an axis
