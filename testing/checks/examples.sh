#!/bin/sh
# Every example, every ```json block of the documents and every block of the manual v2c.json.5 that begins
# with { or with a key of the top level is a configuration that v2c takes.
v2c=${V2C:-$PWD/v2c}
[ -x "$v2c" ] || exit 77
cd "${srcdir:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
for doc in README.md docs/*.md; do
    [ -e "$doc" ] || continue
    awk -v base="$work/$(basename "$doc")" '
        /^```json/ { file = base "-" FNR ".json"; next }
        /^```/ { file = "" }
        file { print > file }' "$doc"
done
awk -v base="$work/manual" '
    /^\.Ed/ { if (file && part) print "}" > file; file = "" }
    open && /^[{"]/ { file = base "-" FNR ".json"; part = /^"/; if (part) print "{" > file }
    { open = /^\.Bd -literal/ }
    file { gsub(/\\e/, "\\"); print > file }' docs/v2c.json.5
n=0
for file in deploy/examples/*.json "$work"/*.json; do
    [ -e "$file" ] || continue
    n=$((n + 1))
    "$v2c" test -c "$file" >"$work/out" 2>&1 || { cat "$work/out"; echo "$file" >>"$work/bad"; }
done
[ ! -e "$work/bad" ] || { echo "not taken:"; cat "$work/bad"; exit 1; }
echo "$n configurations taken"
[ "$n" -gt 0 ]
