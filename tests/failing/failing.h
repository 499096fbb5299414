/* Allocations that fail on demand. Of use only in a test whose malloc, calloc, aligned_alloc and
 * free are wrapped by the linker (--wrap, tests/CMakeLists.txt): then every allocation made in our
 * own sources comes through here, jansson's too (ex_json_guard). Libraries' own do not. */
#ifndef EX_FAILING_H
#define EX_FAILING_H

/* The n-th allocation from now on fails, n from 1; 0: none. Counting starts anew. */
void ex_fail_allocation(long n);
/* The n-th and all that follow. `first` (or NULL) is called once, before the first of them fails.
 */
void ex_fail_allocations_from(long n, void (*first)(void));
/* How many were asked for since then. */
long ex_allocations(void);
/* Where the n-th of the last EX_ALLOCATION_SITES came from: a hash of the calls that led to it, the
 * same in every run. */
enum { EX_ALLOCATION_SITES = 1 << 16 };
unsigned long ex_allocation_site(long n);
/* The caller, and whoever has called it, is no part of that from now on. */
void ex_allocation_sites_begin(void);
/* How many are not freed yet, since the program began. */
long ex_allocations_live(void);

#endif
