#!/bin/sh
# The program is position-independent, its stack is not executable, its relocations are read-only from
# the start, and its functions guard their stacks.
v2c=${V2C:-$PWD/v2c}
[ -x "$v2c" ] || exit 77
facts=$(readelf -W -h -l -d -s "$v2c") || exit 1
bad=0
want() # name, regular expression
{
    echo "$facts" | grep -qE "$2" || { echo "missing: $1"; bad=1; }
}
want 'position independence' 'Type: +DYN'
want 'read-only relocations' 'GNU_RELRO'
want 'binding at start' 'BIND_NOW|FLAGS_1.* NOW'
want 'stack that is not executable' 'GNU_STACK .* RW +0x'
want 'stack protector' '__stack_chk_fail'
exit $bad
