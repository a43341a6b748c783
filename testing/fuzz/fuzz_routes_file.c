/* A file of routes: it is read or refused with the number of a line; and what a service answers. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/guides.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void fuzz_answer(const uint8_t *data, size_t size)
{
    struct lookup_answer a;
    if (!route_answer_read((const char *)data, size, &a))
        return;
    char again[TUNNEL_NAME_MAX + 1];
    require(a.found && a.tunnel.by != TUNNEL_UNNAMED && !a.tunnel.tenant);
    require(tunnel_text_read(again, a.tunnel.text, strlen(a.tunnel.text)));
    require(strcmp(again, a.tunnel.text) == 0);
}

static void fuzz_file(const uint8_t *data, size_t size)
{
    static const struct route_home home = {.has_portal = true};
    char path[64];
    struct err e = {0};
    size_t left_out;
    int fd = memfd_create("routes", MFD_CLOEXEC);
    struct routes *none = routes_new();
    require(fd >= 0 && none && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct routes *r = routes_file_read(path, none, &home, &left_out, &e);
    require(r ? left_out == 0 : strncmp(e.text, path, strlen(path)) == 0);
    routes_unref(r);
    routes_unref(none);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && *data == '{')
        fuzz_answer(data, size);
    else
        fuzz_file(data, size);
    return 0;
}
