/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: a name server that says nothing.  Names below "hangs.test" are looked up for as long as the file exists
 * that WEIR_TEST_NAMES_HANG names, and are 127.0.0.1 then; all others are the C library's business.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int hangs(const char *name)
{
    static const char end[] = ".hangs.test";
    size_t n = name != NULL ? strlen(name) : 0;

    return n >= sizeof end && strcmp(name + n - (sizeof end - 1), end) == 0;
}

__attribute__((visibility("default"))) int getaddrinfo(
    const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    const char *file = getenv("WEIR_TEST_NAMES_HANG");
    lookup_fn lookup;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&lookup, &symbol, sizeof lookup); /* no pointer to an object is one to a function, says C */
    if (!hangs(name))
        return lookup(name, service, hints, out);
    while (file != NULL && access(file, F_OK) == 0)
        (void)usleep(10000); /* a signal makes it look earlier */
    return lookup("127.0.0.1", service, hints, out);
}
