#!/bin/sh
# The steps of the Dockerfile, which need nothing but a bare Debian; `make image-check` runs them in one without Docker.
#   image.sh build FOLDER   in the sources: installs what building needs, builds, and lays into FOLDER what the image gets
#   image.sh run            in the image: installs the libraries that the program is linked with
set -eu

SHARED=/usr/local/share/v2c

# Debian's packages of the libraries that a program is linked with. Their names differ between Debian 12 and 13.
packages_of() # program
{
    ldd "$1" | awk '$3 ~ /^\// { n = split($3, part, "/"); print "*/" part[n] }' |
        xargs dpkg-query -S | cut -d: -f1 | sort -u
}

build() # folder
{
    ./bootstrap
    make --no-print-directory -C build install-strip DESTDIR="$1"
    mkdir -p "$1$SHARED"
    packages_of build/v2c >"$1$SHARED/packages"
    cp deploy/image.sh "$1$SHARED/"
}

run()
{
    apt-get -q update
    # shellcheck disable=SC2046
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install ca-certificates $(cat "$SHARED/packages")
    rm -rf /var/lib/apt/lists/*
    /usr/local/bin/v2c version
}

case ${1-} in
build) build "${2:?want a folder}" ;;
run) run ;;
*)
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2 ;;
esac
