#!/bin/sh
# No file above 800 lines, no function above 100, and 95 % of the functions at most 60.
cd "${srcdir:-.}" || exit 1
command -v ctags >/dev/null || exit 77
files=$(ls main.c ./*/*.[ch] testing/fuzz/*.c testing/integrity/*.[ch] 2>/dev/null)
# shellcheck disable=SC2086
{
    wc -l $files | awk '$2 != "total" { print "file", $2, $1 }'
    ctags -x --langmap=C:.c.h --languages=C --kinds-C=f --fields=+e \
        --_xformat='function %F:%n:%N %n %e' $files | awk '{ print $1, $2, $4 - $3 + 1 }'
} | awk '
    $1 == "file" && $3 > 800 { print $2 ": " $3 " lines, at most 800"; bad = 1 }
    $1 == "function" { n++; long += $3 > 60 }
    $1 == "function" && $3 > 60 { print $2 ": " $3 " lines" }
    $1 == "function" && $3 > 100 { print "    at most 100"; bad = 1 }
    END {
        printf "%d functions, %d above 60 lines\n", n, long
        exit bad || n == 0 || long * 20 > n
    }'
