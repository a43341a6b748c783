#!/bin/sh
# Every example, every ```json block of the documents and every block of the manual v2c.json.5 that begins
# with { or with a key of the top level is a configuration that v2c takes; nginx takes the examples for it. The
# certificates for which they ask are made here.
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
for name in portal bridge www.example.com; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$work/$name.key" -out "$work/$name.pem" 2>"$work/out" || { cat "$work/out"; exit 1; }
done
openssl rand -hex 32 >"$work/cluster.key"
n=0
for file in deploy/examples/*.json "$work"/*.json; do
    [ -e "$file" ] || continue
    n=$((n + 1))
    sed "s|/etc/v2c/|$work/|g" "$file" | "$v2c" test -c stdin: >"$work/out" 2>&1 ||
        { cat "$work/out"; echo "$file" >>"$work/bad"; }
done
PATH=$PATH:/usr/sbin
for file in deploy/examples/*nginx.conf; do
    command -v nginx >/dev/null || break
    {
        echo "pid $work/pid; error_log stderr; events {} http { access_log off;"
        for use in client_body proxy fastcgi uwsgi scgi; do echo "${use}_temp_path $work/$use;"; done
        sed "s|/etc/ssl/|$work/|g; s|listen 443|listen unix:$work/socket|" "$file"
        echo "}"
    } >"$work/nginx"
    nginx -t -p "$work" -c "$work/nginx" >"$work/out" 2>&1 || { cat "$work/out"; echo "$file" >>"$work/bad"; }
done
[ ! -e "$work/bad" ] || { echo "not taken:"; cat "$work/bad"; exit 1; }
echo "$n configurations taken"
[ "$n" -gt 0 ]
