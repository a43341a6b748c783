/* core/file_stamp.h -- a number that changes when a file does: when it is written, or another takes its place.
 * Thread: any. */
#ifndef V2C_CORE_FILE_STAMP_H
#define V2C_CORE_FILE_STAMP_H

#include <stdint.h>
#include <sys/stat.h>

/* FNV-1a: only to see that something is different. */
static inline uint64_t stamp_mix(uint64_t stamp, uint64_t value)
{
    return (stamp ^ value) * 0x100000001b3;
}

static inline uint64_t stamp_of(const struct stat *st)
{
    uint64_t stamp = stamp_mix(0xcbf29ce484222325, (uint64_t)st->st_ino);
    stamp = stamp_mix(stamp, (uint64_t)st->st_dev);
    stamp = stamp_mix(stamp, (uint64_t)st->st_size);
    stamp = stamp_mix(stamp, (uint64_t)st->st_mtim.tv_sec);
    return stamp_mix(stamp, (uint64_t)st->st_mtim.tv_nsec);
}

/* 0: it cannot be looked at. */
static inline uint64_t stamp_at(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? stamp_of(&st) : 0;
}

#endif
