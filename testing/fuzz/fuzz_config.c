/* testing/fuzz/fuzz_config.c -- any bytes as a config file: read, merged with themselves, compiled. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], *said = NULL;
    size_t len = 0;
    const char *names[] = {path, path};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FILE *out = open_memstream(&said, &len);
    if (fd < 0 || !out || write(fd, data, size) != (ssize_t)size)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct config_source src = {.files = names, .file_count = 1};
    src.strict = size > 0 && data[size - 1] == '!';
    src.file_count += size > 0 && data[size - 1] == '+';
    struct config *c = config_load(&src, NULL, out);
    fclose(out);
    if (!c && len == 0)
        __builtin_trap(); /* refused without a word */
    config_free(c);
    free(said);
    close(fd);
    return 0;
}
