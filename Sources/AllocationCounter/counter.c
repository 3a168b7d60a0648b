// The counters behind allocation_counter.h. An executable's own malloc takes the place of the C library's for all libraries of the process; reference
// counts go through function pointers the Swift runtime has for instruments.
#include "allocation_counter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Sanitizers have a malloc of their own, which must stay.
#if defined(__linux__) && defined(__GLIBC__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

static atomic_bool counting;
static atomic_long allocations, objects, retains, releases;

static void count(atomic_long *counter) {
    if (atomic_load_explicit(&counting, memory_order_relaxed)) atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    count(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *pointer, size_t size) {
    count(&allocations);
    return __libc_realloc(pointer, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(&allocations);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    count(&allocations);
    *result = __libc_memalign(alignment, size);
    return *result ? 0 : ENOMEM;
}

// Plain C functions: the runtime's adapters save the registers its own callers expect to keep.
extern void *(*_swift_allocObject)(void *, size_t, size_t);
extern void *(*_swift_retain)(void *);
extern void *(*_swift_retain_n)(void *, unsigned);
extern void (*_swift_release)(void *);
extern void (*_swift_release_n)(void *, unsigned);
extern atomic_bool _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly;

static void *(*real_allocate)(void *, size_t, size_t);
static void *(*real_retain)(void *);
static void *(*real_retain_n)(void *, unsigned);
static void (*real_release)(void *);
static void (*real_release_n)(void *, unsigned);

// Above 4 GiB, where the addresses of 64-bit programs lie, and within the 47 bits they have.
static bool is_object(const void *object) { return (uintptr_t)object >> 32 != 0 && (uintptr_t)object >> 47 == 0; }

static void *counted_allocate(void *type, size_t size, size_t alignment) {
    count(&objects);
    return real_allocate(type, size, alignment);
}

static void *counted_retain(void *object) {
    if (!is_object(object)) return object;
    count(&retains);
    return real_retain(object);
}

static void *counted_retain_n(void *object, unsigned times) {
    if (!is_object(object)) return object;
    count(&retains);
    return real_retain_n(object, times);
}

static void counted_release(void *object) {
    if (!is_object(object)) return;
    count(&releases);
    real_release(object);
}

static void counted_release_n(void *object, unsigned times) {
    if (!is_object(object)) return;
    count(&releases);
    real_release_n(object, times);
}

// In place only while counting: the runtime (6.3) hands the hooks also the letters of a short String, stripped of the bits that say they are no address.
// What is counted must have no short strings of 14 letters, which alone can look like one.
static void hook(void) {
    real_allocate = _swift_allocObject;
    real_retain = _swift_retain;
    real_retain_n = _swift_retain_n;
    real_release = _swift_release;
    real_release_n = _swift_release_n;
    _swift_allocObject = counted_allocate;
    _swift_retain = counted_retain;
    _swift_retain_n = counted_retain_n;
    _swift_release = counted_release;
    _swift_release_n = counted_release_n;
    atomic_store(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, true);
}

static void unhook(void) {
    // First the pointers: an allocation switches the hooks on again where it finds its own replaced.
    _swift_allocObject = real_allocate;
    _swift_retain = real_retain;
    _swift_retain_n = real_retain_n;
    _swift_release = real_release;
    _swift_release_n = real_release_n;
    atomic_store(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, false);
}

bool allocation_counter_works(void) { return true; }

void allocation_counter_start(void) {
    atomic_store(&allocations, 0);
    atomic_store(&objects, 0);
    atomic_store(&retains, 0);
    atomic_store(&releases, 0);
    if (!atomic_load(&counting)) hook();
    atomic_store(&counting, true);
}

allocation_counts allocation_counter_stop(void) {
    if (atomic_exchange(&counting, false)) unhook();
    return (allocation_counts){atomic_load(&allocations), atomic_load(&objects), atomic_load(&retains), atomic_load(&releases)};
}

#else

bool allocation_counter_works(void) { return false; }
void allocation_counter_start(void) {}
allocation_counts allocation_counter_stop(void) { return (allocation_counts){0, 0, 0, 0}; }

#endif
