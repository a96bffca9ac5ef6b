#!/bin/bash
# Builds tests/unit/test_share.c with copies of proto/cluster/share.c that have one mistake each
# (tests/unit/share_mutants.txt) and passes where every one is found. Prints TAP. Usage:
# share_mutants.sh BUILD
set -u
out=$1/share-mutants
mkdir -p "$out"
n=0
failed=0
while IFS='|' read -r name change; do
    case $name in '#'*|'') continue ;; esac
    n=$((n + 1))
    name=${name%"${name##*[! ]}"}
    sed "$change" proto/cluster/share.c > "$out/$n.c"
    if cmp -s proto/cluster/share.c "$out/$n.c"; then
        echo "not ok $n - planted: $name: the change does not fit any more"; failed=1; continue
    fi
    # shellcheck disable=SC2046
    if ! ${HOST_CC:-gcc} -std=gnu11 -O1 -w -I. -o "$out/$n" tests/unit/test_share.c "$out/$n.c" \
            tests/unit/fakes/*.c $(pkg-config --cflags --libs check) 2> "$out/$n.log"; then
        echo "not ok $n - planted: $name: does not build, see $out/$n.log"; failed=1; continue
    fi
    CK_VERBOSITY=normal CK_DEFAULT_TIMEOUT=100 timeout 300 "$out/$n" > "$out/$n.log" 2>&1
    if [ $? = 1 ]; then
        echo "ok $n - planted: $name: $(grep -m1 ':[EF]:' "$out/$n.log" | cut -d: -f2- | cut -c1-90)"
    else echo "not ok $n - planted: $name: not found"; failed=1; fi
done < tests/unit/share_mutants.txt
echo "1..$n"
exit $failed
