#!/bin/sh
# The manual pages are well-formed, and refer to pages that there are.
cd "${srcdir:-.}" || exit 1
pages=$(ls docs/*.[158] 2>/dev/null)
[ -n "$pages" ] && command -v mandoc >/dev/null || exit 77
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
for page in $pages; do
    mkdir -p "$work/man${page##*.}" && cp "$page" "$work/man${page##*.}/" || exit 1
done
# shellcheck disable=SC2086
MANPATH=$work mandoc -T lint -W style $pages 2>/dev/null # there it asks for an index
