#!/bin/sh
# The text is what clang-format 14 prints; other versions differ in details.
cd "${srcdir:-.}" || exit 1
clang-format --version 2>/dev/null | grep -q 'version 14\.' || exit 77
bad=0
for file in $(ls main.c ./*/*.[ch] testing/fuzz/*.c testing/integrity/*.[ch] 2>/dev/null); do
    clang-format --dry-run -Werror "$file" 2>/dev/null || { echo "clang-format -i $file"; bad=1; }
done
exit $bad
