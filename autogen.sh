#!/bin/sh
# Makes ./configure, with autoreconf or with the command given (make says autoconf). The sed keeps
# configure's clean-up ("rm -f core ...") off the folder core.
set -e
cd "$(dirname "$0")"
if [ $# -gt 0 ]; then
    "$@"
else
    autoreconf --force --install
fi
sed 's/rm -f core /rm -f /' configure >configure.new
cat configure.new >configure
rm -f configure.new
