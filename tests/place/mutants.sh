#!/bin/bash
# Links the exact checker, or the herd, with copies of the rule that have one mistake each and
# passes where every one is found. Prints TAP. Usage: mutants.sh BUILD
set -u
out=$1/place/mutants
mkdir -p "$out"
n=0
failed=0
while IFS='|' read -r name change file; do
    case $name in '#'*|'') continue ;; esac
    n=$((n + 1))
    name=${name%"${name##*[! ]}"}
    file=${file// /}
    file=${file:-place.c}
    copy=$out/$n.c
    case $file in
        place.c) with=(tests/place/exact.c) args=(--mutant) ;;
        *) with=(tests/place/herd.c tests/place/traces.c sched/place.c) args=(--seeds 3) ;;
    esac
    sed "$change" "sched/$file" > "$copy"
    if cmp -s "sched/$file" "$copy"; then
        echo "not ok $n - planted: $name: the change does not fit $file any more"; failed=1; continue
    fi
    if ! ${HOST_CC:-gcc} -std=gnu11 -O2 -I. -o "$out/$n" "${with[@]}" "$copy" 2>"$out/$n.log"; then
        echo "not ok $n - planted: $name: does not build, see $out/$n.log"; failed=1; continue
    fi
    timeout 120 "$out/$n" "${args[@]}" > "$out/$n.log" 2>&1
    if [ $? = 1 ]; then
        echo "ok $n - planted: $name: $(grep -m1 '^not ok' "$out/$n.log" |
            sed 's/^not ok [0-9]* - //; s/ ([^;]*edges//; s/)$//; s/ (without.*//')"
    else echo "not ok $n - planted: $name: not found"; failed=1; fi
done < tests/place/mutants.txt
exit $failed
