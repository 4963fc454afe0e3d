/* SPDX-License-Identifier: Apache-2.0 */
/* rng - random bytes from the system (getrandom), for nonces and jitter.  Aborts if the system has none. */
#ifndef RNG_H
#define RNG_H

#include <stddef.h>
#include <stdint.h>

void rng_bytes(void *out, size_t n);
uint64_t rng_u64(void);

#endif
