#!/bin/sh
# Makes configure and Makefile.in from configure.ac and Makefile.am; needed after a checkout, not after unpacking a release.
set -e
cd "$(dirname "$0")"
autoreconf --install --force --warnings=all
echo "Now run ./configure && make"
