/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_memory - a daemon that runs for months beside others is to be small.
 *
 *     daemon_memory_bound()       before anything else
 *     daemon_memory_started()     once everything has begun
 *
 * Threads: the first one before there are others, the second one any.
 */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

/* glibc is to keep little of what was freed. */
void daemon_memory_bound(void);

/*
 * Let go of code that only the start needed.  Some thirty libraries are read, linked and initialised, most of them for
 * others of them, and never looked at again; the kernel would count their pages as ours until it is short of memory.
 * What is still needed comes back page by page, out of the page cache.
 */
void daemon_memory_started(void);

#endif
