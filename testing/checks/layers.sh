#!/bin/sh
# Includes go only downward: a folder's files may name the folders and headers of its row.
cd "${srcdir:-.}" || exit 1
bad=0
row() # folder, regular expression of what it may include
{
    grep -Hn '^ *# *include *"' "$1"/*.[ch] 2>/dev/null |
        grep -vE "include *\"(config\.h|($1|$2)[^\"]*)\"" && bad=1
}
row core 'core/'
row transport 'core/'
row routing 'core/'
row mux 'core/'
row proxy 'core/|transport/|routing/(dispatch|guide|lookups|routes|sniff)\.h'
row reverse 'core/|mux/|routing/(dispatch|claims)\.h'
row cluster 'core/|mux/|transport/|routing/(dispatch|claims|lookups)\.h|proxy/(request|accept|vmess[a-z_]*)\.h|reverse/(elsewhere|reverse|portal|tunnels)\.h'
row conf '(core|transport|routing|mux|proxy|reverse|cluster)/'
exit $bad
