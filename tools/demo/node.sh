# The demo's work on node 0, run by tools/demo/demo.py. Talks to it in lines "@WORD ...", for
# which show.py has a handler each; all else is shown as it is. Given: /demo/file to work on,
# node 1's drive nvme0n1 with an ext4 of FILES files, node 2's drive vda with raw bytes.
. /demo/given

figure() { sed -n "s/^$2: //p" "/nodes/$1/status"; }
total() {
    sum=0
    for figure in $(sed -n "s/^$1: //p" /nodes/*/status); do sum=$((sum + figure)); done
    echo $sum
}
# Waits until every node's figures are newer than now: a status is kept for two ticks.
fresh() {
    for n in 0 1 2 3; do
        tick=$(figure $n place_ticks)
        until [ "$(figure $n place_ticks)" -gt $((tick + 3)) ]; do sleep 0.1; done
    done
}

echo "@step Four machines, as node 0 sees them"
nodes
# Each waits until it sees all: under load one may have joined another that has not yet joined it.
all='m=1; until [ $m = 4 ]; do m=$(cat /nodes/members-not-$m); done; echo $m'
for n in 0 1 2 3; do echo "@members $n $(on $n sh -c "$all")"; done

# One operation of /dev/bench, measured: "@latency NAME BYTES COUNT MIN TYPICAL LOST WRONG".
latency() {
    echo "$1 1 $2 200" >/dev/bench || return
    cat /dev/bench >/tmp/table
    set -- "$1" $(sed -n 2p /tmp/table) $(sed -n "s/.* lost \([0-9]*\) wrong \([0-9]*\) .*/\1 \2/p" /tmp/table)
    echo "@latency $1 $2 $3 $4 $6 ${11} ${12}"
}
echo "@step One-sided operations on node 1's memory, beside a raw Ethernet echo"
latency echo 64
latency read 8
latency read 4096
latency cas 8

echo "@step Eight jobs through the shared run queue: whichever node takes one runs it"
mkdir -p /tmp/ran
for job in 1 2 3 4 5 6 7 8; do
    spawn sh -c 'read node </proc/self/node; sleep 1; echo "$node" >/tmp/ran/$0' $job >/dev/null
done
until [ "$(cat /tmp/ran/* 2>/dev/null | wc -l)" = 8 ]; do sleep 0.1; done
for job in 1 2 3 4 5 6 7 8; do echo "@ran $job $(cat /tmp/ran/$job)"; done

echo "@step Files on node 1's drive, an ext4 made by this host, read from node 0"
mount -t ext4 /nodes/1/dev/nvme0n1 /mnt/b || echo "@failed mount"
mount
cd /mnt/b && find . -type f | sort >/tmp/names
echo "@files $(wc -l </tmp/names)"
hits=$(total drive_remote_hits)
at=1
while [ $at -le $FILES ]; do
    sed -n "$at,$((at + FILES / 4))p" /tmp/names | xargs sha256sum >>/tmp/sums
    at=$((at + FILES / 4 + 1))
    echo "    $(wc -l </tmp/sums) files read"
done
fresh
echo "@one-sided $(($(total drive_remote_hits) - hits)) $(total drive_remote_misses)"
echo "@tree $(sha256sum </tmp/sums | cut -d" " -f1)"
cd /
on 2 sh -c "echo $WRITTEN >/mnt/b/written-by-node-2"
echo "@written $(on 3 cat /mnt/b/written-by-node-2)"

# Remote operations of all nodes: calls to another node's files, one-sided reads of drives.
remote_ops() { fresh; echo $(($(total bulk_out) + $(total drive_remote_hits))); }
echo "@step A program that the system itself moves to its data: sha1sum of node 2's drive"
before=$(remote_ops)
sha1sum /nodes/2/dev/vda >/tmp/drive & reader=$!
while [ "$(cat /proc/$reader/node 2>/dev/null)" = 0 ]; do sleep 0.1; done
sed -n '/^process/p;/^used since/,/^the rule/p' /proc/$reader/affinity | sed '/^the rule/d;s/^/    /'
echo "    why $reader:"
why $reader >/tmp/why
sed -n '/^last move/,/^$/p' /tmp/why | sed '/^$/d;/^last decision/,$d;s/^/        /'
echo "@why $(sed -n 's/^last move: //p' /tmp/why)"
wait $reader
echo "@drive-sum moved $(cut -d" " -f1 /tmp/drive) $(($(remote_ops) - before))"
echo "    the same once more, held on node 0 by hand"
before=$(remote_ops)
sh -c 'echo 0 >/proc/self/node; exec sha1sum /nodes/2/dev/vda' >/tmp/drive
echo "@drive-sum held $(cut -d" " -f1 /tmp/drive) $(($(remote_ops) - before))"

echo "@step Eight programs that compute, all started on node 0: they spread out"
moved=$(total place_moved)
for i in 1 2 3 4 5 6 7 8; do hashset $SPREAD $i >/tmp/spread-$i & done
seen=
until [ "$(cat /tmp/spread-* | wc -l)" = 8 ]; do
    now=$(echo $(sed -n 's/^cpu_bound: //p' /nodes/*/status))
    [ "$now" = "$seen" ] || echo "@load $now"
    seen=$now
    sleep 0.2
done
fresh
echo "@spread-hashes" $(cat /tmp/spread-?)
moved_by_then=$(total place_moved)
# Five looks in a row that show no move, of 120 at most.
still=0
looks=0
last=$moved_by_then
while [ $still -lt 5 ] && [ $looks -lt 120 ]; do
    fresh
    now=$(total place_moved)
    [ "$now" = "$last" ] && still=$((still + 1)) || still=0
    last=$now
    looks=$((looks + 1))
done
echo "@spread-moves $((moved_by_then - moved)) $still"

# Moves process $1 (called $2) from node to node, at most $3 times, until it ends. A move that
# is refused because the process is busy with a server is asked for again.
move_about() {
    at=0
    count=0
    why=
    while [ $count -lt $3 ] && [ "${why##*: }" != "No such process" ]; do
        to=$(((at + 1) % 4))
        if why=$(migrate $1 $to 2>&1); then
            count=$((count + 1))
            echo "@moved $2 $1 $at $to $(figure $at freeze_us_last)"
            at=$to
        else
            echo "    $why"
        fi
        sleep 0.4
    done
}

work() {
    name=$1
    shift
    fault=$(total pages_on_fault)
    drained=$(total pages_drained)
    "$@" &
    echo 0 >/proc/$!/node
    move_about $! $name 8
    wait $!
    ended=$?
    fresh
    echo "@ended $name $ended $(($(total pages_on_fault) - fault)) $(($(total pages_drained) - drained))"
}

echo "@step sha256sum of a file, moved by hand round the four nodes while it runs"
work sha256sum sh -c 'exec sha256sum /demo/file >/tmp/sum'
echo "@sum $(cut -d" " -f1 /tmp/sum)"

echo "@step gzip of the file, moved round the four nodes while it runs"
work gzip sh -c 'exec gzip -c /demo/file >/tmp/file.gz'
echo "@gzip $(sha256sum </tmp/file.gz | cut -d" " -f1)"

echo "@step A program that keeps a hash over 16 MiB of memory and moves itself ten times"
echo "@moved-hash $(hashset $HASH 10 4 2>/tmp/where)"
echo "@hops $(wc -l </tmp/where)"
echo "@hash $(hashset $HASH)"

echo "@step What all those moves left behind"
fresh
until [ "$(total images_freed)" = "$(total moves_out)" ]; do sleep 0.1; done
echo "@images $(total moves_out) $(total images_freed)"

# What dies with which node is written down here: who works for the demo stays on node 0, and
# the file server goes to its drive. The feeder's second half comes when node 3 is dead: so its reader, which was on node 3 and
# left it, has to go on then.
echo "@step Node 3 loses its power: what was there is lost, and named; all else goes on"
for p in 2 $$; do echo 0 >/proc/$p/node; done
for p in $(pidof ext4d); do migrate $p 1; done
echo $SAVED | dd of=/mnt/b/saved conv=fsync 2>/dev/null
on 3 sleep 1000 & sleeper=$!
(on 3 sh -c 'echo $$ >/tmp/beater; while echo beat; do sleep 0.2; done' | tee /tmp/beat >/dev/null) & pipe=$!
(head -c $HALF /demo/file
 echo >/tmp/fed
 until [ -e /tmp/dead ]; do sleep 0.2; done
 tail -c +$((HALF + 1)) /demo/file | head -c $HALF) | on 3 sha256sum >/tmp/kept & kept=$!
until [ "$(cat /proc/$sleeper/node)" = 3 ] && [ -s /tmp/beat ] && [ -e /tmp/fed ]; do sleep 0.1; done
echo "    sha256sum ($kept) is on node $(cat /proc/$kept/node)"
migrate $kept 2
fresh
until [ "$(figure 3 images_freed)" = "$(figure 3 moves_out)" ]; do sleep 0.1; done
beater=$(cat /tmp/beater)
echo "    on node 3: sleep ($sleeper), a shell that writes into a pipe of node 0 ($beater);"
echo "    sha256sum was moved on to node $(cat /proc/$kept/node) and waits for more to read"
echo "@kill 3"
for n in 0 1 2; do echo "@members-left $n $(on $n cat /nodes/members-not-4)"; done
echo >/tmp/dead
wait $sleeper 2>/dev/null
echo "@lost-status $?"
wait $pipe
echo "@pipe-ended $(wc -l </tmp/beat)"
wait $kept
echo "@kept $? $(cut -d" " -f1 /tmp/kept)"
sed -n 's/^lost: /@lost /p' /nodes/3/status
echo "@lost-only $sleeper $beater $kept"
on 3 true
echo "@refused start $?"
cat /nodes/3/dev/console
echo "@refused open $?"
echo "@saved $(cat /mnt/b/saved)"
cd /mnt/b
echo "@again $(head -n 50 /tmp/names | xargs sha256sum | sha256sum | cut -d" " -f1)"
cd /

echo "@step Node 3 gets its power back: it joins as a new machine"
echo "@power 3"
cat /nodes/members-not-3 >/dev/null
nodes
echo "@back $(on 3 cat /proc/self/node) $(figure 3 moves_out)"

echo "@step The drive is unmounted, and this host looks at it"
on 1 umount /mnt/b
echo "@umount $?"
