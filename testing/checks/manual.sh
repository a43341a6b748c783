#!/bin/sh
# The manual pages are well-formed.
cd "${srcdir:-.}" || exit 1
pages=$(ls docs/*.[158] 2>/dev/null)
[ -n "$pages" ] && command -v mandoc >/dev/null || exit 77
# shellcheck disable=SC2086
mandoc -T lint -W warning $pages
