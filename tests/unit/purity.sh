#!/bin/bash
# Builds the RDMA engine, and placement, as the kernel does and fails where one needs any
# symbol but the memory functions and panic, or has writable data. Prints TAP.
set -u
out=${BUILD:-build}/purity
mkdir -p "$out"
rm -f "$out"/*.o
n=0
placement="sched/place.c sched/place_exec.c sched/place_why.c sched/account.c"
for part in "proto/roce" "proto/roce drivers/rdma" "$placement"; do
    n=$((n + 1))
    rm -f "$out"/*.o
    name=${part// /+}
    objects=()
    for source in $(for d in $part; do find "$d" -maxdepth 1 -name "*.c" | sort; done); do
        object="$out/${source//\//_}.o"
        gcc -std=gnu11 -O2 -I. -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-pie -mcmodel=kernel -c \
            -o "$object" "$source" || { echo "not ok $n - $source does not build"; exit 1; }
        objects+=("$object")
    done
    ld -r -o "$out/all.o" "${objects[@]}"
    foreign=$(nm -u "$out/all.o" | awk '{print $2}' |
              grep -vxE 'memcpy|memmove|memset|memcmp|panic' | tr '\n' ' ')
    data=$(nm "$out/all.o" | awk '$2 ~ /^[bBdDC]$/ {print $3}' | tr '\n' ' ')
    if [ -z "$foreign$data" ]; then echo "ok $n - $name: no foreign symbol, no writable data"
    else echo "not ok $n - $name: needs $foreign, writable $data"; fi
done
