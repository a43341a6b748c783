#!/bin/sh
# No writable object lives in a folder's archive, except in core/log.c. Sanitizers add their own.
for lib in lib*.a; do
    objdump -t "$lib" || exit 1
done | awk '
    /^In archive/ { archive = $3 }
    /file format/ { object = archive $1 }
    /__[at]san_/ { sanitized = 1 }
    /^[0-9a-f]+ ......O (\*COM\*|\.(data|bss|tdata|tbss))/ && !/ \.data\.rel\.ro/ {
        if (object != "libcore.a:log.o:")
            bad = bad object " " $NF "\n"
    }
    END {
        if (sanitized)
            exit 77
        printf "%s", bad
        exit bad != ""
    }'
