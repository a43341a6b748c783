#!/bin/sh
# Functions that nobody calls, and those that only one place may call.
cd "${srcdir:-.}" || exit 1
bad=0
code() { LC_ALL=C awk -f testing/checks/code.awk "$@"; }
calls() # names: lines that call one of them, not as a member
{
    grep -E "(^|[^A-Za-z0-9_.>])($1) *\("
}
folders='core transport mux routing proxy reverse cluster conf'
all=$(for d in $folders; do ls "$d"/*.[ch] 2>/dev/null; done)
rest=$(echo "$all" | grep -v '^transport/')
# shellcheck disable=SC2086
{
    code $all $(ls main.c 2>/dev/null) |
        calls 'strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|rand|random|srand|system|popen|alloca' &&
        echo '    banned' && bad=1
    code $all | grep -E 'RAND_bytes|getrandom|/dev/u?random' &&
        echo '    random bytes come from randombytes_buf()' && bad=1
    code $all | calls 'exit|_exit|_Exit|abort' && echo '    only in main.c' && bad=1
    code $rest | grep -v '^core/log\.c' |
        calls 'socket|connect|accept4?|listen|shutdown|send|sendto|sendm?msg|recv|recvfrom|recvm?msg' &&
        echo '    only in transport/, and in core/log.c (to a log socket)' && bad=1
    code $rest | grep -vE '^(core/log\.c|conf/)' | calls 'read|write|readv|writev' &&
        echo '    only in transport/, core/log.c and conf/ (files)' && bad=1
    code $rest | calls 'ev_io_(init|set|start)' && echo '    only in transport/' && bad=1
}
exit $bad
