#!/usr/bin/env bash
# tests/output_hashes.py: two records of a build are the same; a bit, a line too few and a line too many are found.
set -u
cd "$(dirname "$0")/.."
build=${1:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

hashes()
{
    "${PYTHON:-.venv/bin/python}" -W ignore tests/output_hashes.py --tools "$build" --only graph "$@"
}

# The exit code and a pattern that a line of the output matches, of a comparison with a record.
expect() # DESCRIPTION CODE PATTERN RECORD
{
    local output code
    output=$(hashes --compare "$4" 2>&1)
    code=$?
    if [ "$code" -eq "$2" ] && grep -qE "$3" <<<"$output"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s: exit code %d\n%s\n' "$1" "$code" "$(tail -n 5 <<<"$output")"
    fi
}

hashes --record "$work/record" >/dev/null || { echo "0 passed, 1 failed"; exit 1; }
count=$(wc -l <"$work/record")
about="^graph/000007, default, threads 2, output 0:"
expect "the same build" 0 "^$count the same, 0 differ$" "$work/record"

awk 'BEGIN { FS = OFS = "\t" } $1 == "graph/000007" && $2 == "default" && $4 == 0 {
    $7 = (substr($7, 1, 1) == "0" ? "1" : "0") substr($7, 2) } 1' "$work/record" >"$work/changed"
expect "another hash" 1 "$about .*, recorded " "$work/changed"
expect "another hash, alone" 1 "^$((count - 1)) the same, 1 differ$" "$work/changed"

grep -vP '^graph/000007\tdefault\t2\t0\t' "$work/record" >"$work/short"
expect "an output that was not recorded" 1 "$about .*, recorded nothing$" "$work/short"

{ cat "$work/record"; printf 'graph/000007\tdefault\t2\t99\tfloat32\t1\t0123456789abcdef\n'; } >"$work/long"
expect "an output that is no more" 1 "output 99: nothing, recorded float32 1 0123456789abcdef$" "$work/long"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
