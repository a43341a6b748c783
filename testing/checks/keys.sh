#!/bin/sh
# The manual page has every key that v2c reads, with its type and default, and no other. In its section KEYS
# an object is ".Ss OBJECT" and a key is ".It Cm KEY Pq TYPE , No default Cm DEFAULT". Where the tables hold
# no default the page may name what its absence means.
print=${PRINT_KEYS:-$PWD/testing/print_keys}
[ -x "$print" ] || exit 77
cd "${srcdir:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
"$print" | LC_ALL=C sort >"$work/code" || exit 1
awk '
    /^\.Sh / { keys = $2 == "KEYS" }
    !keys { next }
    /^\.Ss / { object = $0 == ".Ss The top level" ? "-" : $2; sub(/\\&$/, "", object) }
    /^\.It Cm / { print object, $3, $5, $8 == "default" ? $10 : "-" }
' docs/v2c.json.5 | LC_ALL=C sort >"$work/page"
awk -v page="$work/page" '
    BEGIN {
        while ((getline line < page) > 0) {
            split(line, f)
            key = f[1] " " f[2]
            if (key in type) { print "twice in the manual: " key; bad = 1 }
            type[key] = f[3]
            def[key] = f[4]
        }
    }
    {
        key = $1 " " $2
        seen[key] = 1
        if (!(key in type)) { print "not in the manual: " $0; bad = 1 }
        else if (type[key] != $3 || ($4 != "-" && def[key] != $4)) {
            print "manual: " key " " type[key] " " def[key] ", code: " $3 " " $4
            bad = 1
        }
    }
    END {
        for (key in type)
            if (!(key in seen)) { print "only in the manual: " key; bad = 1 }
        print NR " keys"
        exit bad || NR == 0
    }' "$work/code"
