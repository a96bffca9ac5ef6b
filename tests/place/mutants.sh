#!/bin/bash
# Links the exact checker with copies of sched/place.c that have one mistake each and
# passes where it fails on every one. Prints TAP. Usage: mutants.sh BUILD
set -u
out=$1/place/mutants
mkdir -p "$out"
n=0
failed=0
while IFS='|' read -r name change; do
    case $name in '#'*|'') continue ;; esac
    n=$((n + 1))
    name=$(echo "$name" | sed 's/ *$//; s/\\//g')
    sed "$change" sched/place.c > "$out/$n.c"
    if cmp -s sched/place.c "$out/$n.c"; then
        echo "not ok $n - planted: $name: the change does not fit place.c any more"; failed=1; continue
    fi
    if ! ${HOST_CC:-gcc} -std=gnu11 -O2 -I. -o "$out/$n" tests/place/exact.c "$out/$n.c" 2>"$out/$n.log"; then
        echo "not ok $n - planted: $name: does not build, see $out/$n.log"; failed=1; continue
    fi
    timeout 120 "$out/$n" --mutant > "$out/$n.log" 2>&1
    if [ $? = 1 ]; then
        echo "ok $n - planted: $name: $(grep -m1 '^not ok' "$out/$n.log" | sed 's/^not ok [0-9]* - exact: //; s/ ([^;]*edges//; s/)$//')"
    else echo "not ok $n - planted: $name: not found"; failed=1; fi
done < tests/place/mutants.txt
exit $failed
