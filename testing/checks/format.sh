#!/bin/sh
# The text is what clang-format 14 prints; other versions differ in details.
cd "${srcdir:-.}" || exit 1
clang-format --version 2>/dev/null | grep -q 'version 14\.' || exit 77
clang-format --dry-run -Werror main.c ./*/*.[ch] testing/fuzz/*.c testing/integrity/*.[ch]
