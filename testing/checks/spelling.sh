#!/bin/sh
# Words are spelled right. Names from the protocols that look like mistakes are listed here.
cd "${srcdir:-.}" || exit 1
command -v codespell >/dev/null || exit 77
codespell --ignore-words-list=accep,anull,caf,re-using,domian,tru,protocoll,mis,fo,ot,nd,te,ba,iif,gost --skip='*.dat,*.bin,*.pem,testing/fuzz/corpus,testing/wire/requests,testing/wire/answers,testing/wire/hellos,testing/configs,*.hex,__pycache__' \
    $(ls -d README.md main.c configure.ac Makefile.am bootstrap core transport mux routing proxy \
        reverse cluster conf testing docs deploy 2>/dev/null)
