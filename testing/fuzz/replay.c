/* testing/fuzz/replay.c -- a main for fuzz targets built without libFuzzer: feeds every file of the
 * given directories to the target. Without arguments: the corpus that bears the program's name, so
 * that fuzz_frame reads $srcdir/testing/fuzz/corpus/frame. Fails when there was nothing to feed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

/* The input lies in memory of exactly its size, so that a sanitizer sees a read behind it. */
static int feed_file(const char *path)
{
    static const size_t room = INPUT_MAX;
    FILE *f = fopen(path, "rb");
    uint8_t *all = malloc(room);
    if (!f || !all) {
        perror(path);
        free(all);
        if (f)
            fclose(f);
        return -1;
    }
    size_t size = fread(all, 1, room, f);
    fclose(f);
    uint8_t *exact = malloc(size ? size : 1);
    if (exact) {
        memcpy(exact, all, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(all);
    return exact ? 0 : -1;
}

/* The number of files fed; -1 when one could not be read. */
static int feed_directory(const char *path)
{
    DIR *d = opendir(path);
    if (!d) {
        perror(path);
        return -1;
    }
    int fed = 0;
    for (struct dirent *de; fed >= 0 && (de = readdir(d));) {
        char file[4096];
        if (de->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, de->d_name);
        fed = feed_file(file) < 0 ? -1 : fed + 1;
    }
    closedir(d);
    return fed;
}

int main(int argc, char **argv)
{
    char own[4096], *dirs[] = {own, NULL};
    const char *srcdir = getenv("srcdir"), *name = strrchr(argv[0], '/');
    name = name ? name + 1 : argv[0];
    snprintf(own, sizeof own, "%s/testing/fuzz/corpus/%s", srcdir ? srcdir : ".",
             strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name);
    int total = 0;
    for (char **dir = argc > 1 ? argv + 1 : dirs; *dir; dir++) {
        int fed = feed_directory(*dir);
        if (fed < 0)
            return 1;
        total += fed;
    }
    printf("%s: %d inputs replayed\n", name, total);
    return total > 0 ? 0 : 1;
}
