#!/bin/sh
# A step that is no Python: `mlotel exec` makes any command a component run, with the files it reads and writes.
#
#     sh examples/shell_step.sh [FOLDER]
set -eu
folder=${1:-$(mktemp -d)}
printf '%s\n' pear apple fig apple >"$folder/fruit.txt"

mlotel exec --component sort --pipeline fruit \
    --input "$folder/fruit.txt" --output "$folder/sorted.txt" -- \
    sort -u -o "$folder/sorted.txt" "$folder/fruit.txt"

# The second step reads what the first wrote: that alone joins them.
mlotel exec --component count --pipeline fruit \
    --input "$folder/sorted.txt" --output "$folder/count.txt" -- \
    sh -c 'wc -l <"$1" >"$2"' count "$folder/sorted.txt" "$folder/count.txt"

mlotel lineage "$folder/count.txt"
