#!/usr/bin/env bash
# The direction of includes: tools → runtime → graph → kernels, formats → graph. A header that breaks it fails the test.
set -u
cd "$(dirname "$0")/.."
declare -A may=(
    [kernels]="kernels"
    [graph]="graph kernels"
    [formats]="formats graph kernels"
    [runtime]="runtime formats graph kernels"
    [tools]="tools runtime formats graph kernels"
)
bad=0 seen=0
for folder in "${!may[@]}"; do
    while IFS=: read -r file line text; do
        seen=$((seen + 1))
        target=$(sed -E 's/.*"([a-z]+)\/.*/\1/' <<<"$text")
        [[ " ${may[$folder]} " == *" $target "* ]] && continue
        echo "$file:$line: $folder/ may not include $target/"
        bad=$((bad + 1))
    done < <(grep -rnE '^#include "[a-z]+/' --include='*.[ch]' --include='*.inc' --include='*.cu' --include='*.cuh' "$folder")
done
echo "$((seen - bad)) passed, $bad failed"
[ "$bad" -eq 0 ] && [ "$seen" -gt 100 ]
