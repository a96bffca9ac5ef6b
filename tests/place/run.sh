#!/bin/bash
# The parts of the placement group as one list of TAP. Usage: run.sh BUILD SEEDS JOBS [--long]
# A part that ends otherwise than passed (0) or failed (1) is a failure of its own.
set -u
build=$1 seeds=$2 jobs=$3
part() {
    "$@"
    local status=$?
    [ $status -le 1 ] || echo "not ok 0 - $1 ended with status $status"
}
{
    part "$build/place/exact" "${4:---short}"
    part tests/place/mutants.sh "$build"
    part "$build/place/herd" --seeds "$seeds"
    part "$build/place/sim" --seeds "$seeds" --jobs "$jobs" --csv "$build/place/table.csv"
} | awk '/^(not )?ok / { n++; if ($1 == "not") bad = 1; sub(/ok [0-9]+/, "ok " n) }
         { print } END { print "1.." n; exit bad || n == 0 }'
