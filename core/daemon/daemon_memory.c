/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_memory.h"

#include "fsys.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STATUS_MAX = 16 << 10 };

/*
 * A daemon that is idle for hours should be small after a busy minute.  glibc gives each thread an arena of its own and
 * raises by itself the size from which memory goes back to the system; both keep megabytes that are never used again.
 */
void daemon_memory_bound(void)
{
    (void)mallopt(M_ARENA_MAX, 2); /* each returns 0 where it is not supported, and that is fine */
    (void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
}

/* Was its code changed when it was linked?  Then the file no longer says what is in memory. */
static bool is_relocated(const struct dl_phdr_info *info)
{
    for (ElfW(Half) i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type != PT_DYNAMIC)
            continue;
        for (const ElfW(Dyn) *d = (const void *)(info->dlpi_addr + p->p_vaddr); d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL) != 0))
                return true;
    }
    return false;
}

/* Only whole pages of segments that nobody could ever write to: they are what the file holds. */
static int let_go(struct dl_phdr_info *info, size_t size, void *ctx)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)ctx;
    if (is_relocated(info))
        return 0;
    for (ElfW(Half) i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + p->p_vaddr, end = begin + p->p_filesz;

        if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0 || p->p_filesz != p->p_memsz)
            continue;
        begin = (begin + page - 1) / page * page;
        end = end / page * page;
        if (begin < end)
            (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* where it is refused, nothing is lost */
    }
    return 0;
}

/* A debugger writes its breakpoints into the code, and would wait for them in vain.  Who cannot tell says so. */
static bool may_be_traced(void)
{
    CLEANUP(buf_fini) struct buf status;
    struct err ignored;

    buf_init(&status, STATUS_MAX);
    if (rc_failed(fsys_read_file(&fsys_real, "/proc/self/status", &status, &ignored)))
        return true;
    return strstr(buf_str(&status), "\nTracerPid:\t0\n") == NULL;
}

void daemon_memory_started(void)
{
    if (may_be_traced())
        return;
    (void)dl_iterate_phdr(let_go, NULL); /* it returns what let_go() does */
}
