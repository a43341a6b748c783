#!/bin/sh
# The benchmark still works: its arithmetic, a second of three scenarios, some rules, tunnels and a registry. The figures are not looked at.
python=/usr/bin/python3
[ -x "$python" ] || exit 77
PYTHONDONTWRITEBYTECODE=1 "$python" "${srcdir:-.}/testing/bench/match.py" --tools testing/bench --quick || exit 1
PYTHONDONTWRITEBYTECODE=1 "$python" "${srcdir:-.}/testing/bench/tunnels.py" --v2c ./v2c --quick || exit 1
PYTHONDONTWRITEBYTECODE=1 "$python" "${srcdir:-.}/testing/bench/registry.py" --tools testing/bench --quick || exit 1
PYTHONDONTWRITEBYTECODE=1 V2C=$PWD/v2c TOOLS=$PWD/testing/bench exec "$python" "${srcdir:-.}/testing/bench/test_bench.py"
