#include "runtime.h"
int command_predict(const struct options *o) { (void)o; die(EXIT_bug, "not there yet"); }
int command_trace(const struct options *o) { (void)o; die(EXIT_bug, "not there yet"); }
int command_check_gradients(const struct options *o) { (void)o; die(EXIT_bug, "not there yet"); }
int command_bench(const struct options *o) { (void)o; die(EXIT_bug, "not there yet"); }
