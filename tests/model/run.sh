#!/bin/bash
# Runs each SPIN model to the end of its states, and then each of its mutations, which
# SPIN must find. Prints TAP. Usage: tests/model/run.sh BUILD_DIR
set -u
build=$(realpath -m "$1")/model
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$build"
count=0
failed=0

# check MODEL FLAGS: S where the model holds, E where an error was found, ? else
check() {
    local dir="$build/$1$2"
    mkdir -p "$dir"
    (cd "$dir" && cp "$here/$1.pml" . && spin ${2:+$2} -a "$1.pml" > spin.log 2>&1 &&
     gcc -O2 -w -DSAFETY -DMEMLIM=1500 -o pan pan.c && ./pan -m1000000 > pan.log 2>&1)
    if grep -q "errors: 0" "$dir/pan.log" && ! grep -q "max search depth too small\|out of memory" \
        "$dir/pan.log"; then echo S
    elif grep -q "errors: [1-9]" "$dir/pan.log"; then echo E
    else echo "?"
    fi
}

result() {
    count=$((count + 1))
    if [ "$1" = "$2" ]; then echo "ok $count - $3"
    else echo "not ok $count - $3 (got $1)"; failed=1
    fi
}

for model in queue handover; do
    result "$(check $model "")" S "$model holds in every state"
    for bug in $(sed -n 's/.*-D\(BUG_[A-Z_]*\).*/\1/p' "$here/$model.pml"); do
        result "$(check $model -D$bug)" E "$model with $bug is found out"
    done
    grep -h "states, stored" "$build/$model/pan.log" | sed "s/^/# $model:/"
done
echo "1..$count"
exit $failed
