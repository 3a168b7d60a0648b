/// Counts allocations and reference counting of the whole process, all threads, from the moment it is switched on. Linux with glibc; elsewhere nothing is counted.
#pragma once

#include <stdbool.h>

typedef struct {
    long allocations;  ///< malloc, calloc, realloc, posix_memalign and aligned_alloc
    long objects;      ///< Swift objects allocated
    long retains;      ///< Swift reference counts raised, and lowered
    long releases;
} allocation_counts;

/// Whether this system can be counted on.
bool allocation_counter_works(void);
/// Starts counting from zero.
void allocation_counter_start(void);
/// Stops and returns what was counted.
allocation_counts allocation_counter_stop(void);
