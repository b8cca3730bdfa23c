/*
 * process_memory -- whose mallocs are whose.
 *
 * A power cut drops a process's memory without running its destructors. The linker hands every
 * malloc of the program under test to these (-Wl,--wrap): made while a process is `used`, a piece
 * belongs to it and goes with it. What belongs to nobody is left to the leak sanitizer.
 */
#ifndef TESTS_SIM_PROCESS_MEMORY_H
#define TESTS_SIM_PROCESS_MEMORY_H

#include "core/sim_memory.h"

struct process_memory; /* of one process */

struct process_memory *process_memory_new(void);
void process_memory_drop(struct process_memory *memory); /* with all that it still holds */
/* From here on mallocs are this one's (NULL: nobody's). Whose they were before. */
struct process_memory *process_memory_use(struct process_memory *memory);
size_t process_memory_pieces(const struct process_memory *memory);

/* For simulators: the heap, whoever is used. */
extern const struct sim_memory memory_of_simulators;

#endif
