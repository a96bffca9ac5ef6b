# The demo's work on node 0, run by tools/demo/demo.py. Talks to it in lines "@WORD ...";
# all else is shown as it is. File to work on: /demo/file.
figure() { sed -n "s/^$2: //p" "/nodes/$1/status"; }
both() { echo $(($(figure 0 "$1") + $(figure 1 "$1"))); }

echo "@step the nodes, as node 0 sees them"
nodes

# One operation of /dev/bench, measured: "@latency NAME BYTES COUNT MIN TYPICAL WRONG".
latency() {
    echo "$1 1 $2 200" >/dev/bench || return
    cat /dev/bench >/tmp/table
    set -- "$1" $(sed -n 2p /tmp/table) $(sed -n "s/.* lost \([0-9]*\) wrong \([0-9]*\) .*/\1 \2/p" /tmp/table)
    echo "@latency $1 $2 $3 $4 $6 ${11} ${12}"
}
echo "@step one-sided operations on node 1's memory, beside a raw Ethernet echo"
latency echo 64
latency read 8
latency read 4096
latency cas 8

echo "@step six jobs through the shared run queue: whichever node takes one runs it"
mkdir -p /tmp/ran
for job in 1 2 3 4 5 6; do
    spawn sh -c 'read node </proc/self/node; sleep 1; echo "$node" >/tmp/ran/$0' $job >/dev/null
done
until [ "$(ls /tmp/ran | wc -l)" = 6 ] && [ "$(cat /tmp/ran/* | wc -l)" = 6 ]; do sleep 0.1; done
for job in 1 2 3 4 5 6; do echo "@ran $job $(cat /tmp/ran/$job)"; done

# Moves process $1 (called $2) to and fro, at most $3 times, until it ends. A move that is
# refused because the process is busy with a server is asked for again.
move_about() {
    to=1
    count=0
    why=
    while [ $count -lt $3 ] && [ "${why##*: }" != "No such process" ]; do
        if why=$(migrate $1 $to 2>&1); then
            count=$((count + 1))
            echo "@moved $2 $1 $((1 - to)) $to $(figure $((1 - to)) freeze_us_last)"
            to=$((1 - to))
        else
            echo "    $why"
        fi
        sleep 0.4
    done
}

work() {
    name=$1
    shift
    fault=$(both pages_on_fault)
    drained=$(both pages_drained)
    "$@" &
    move_about $! $name 8
    wait $!
    echo "@ended $name $? $(($(both pages_on_fault) - fault)) $(($(both pages_drained) - drained))"
}

echo "@step sha256sum of the file, moved between the nodes while it runs"
work sha256sum sh -c 'exec sha256sum /demo/file >/tmp/sum'
echo "@sum $(cut -d" " -f1 /tmp/sum)"

echo "@step gzip of the file, moved between the nodes while it runs"
work gzip sh -c 'exec gzip -c /demo/file >/tmp/file.gz'
echo "@gzip $(sha256sum </tmp/file.gz | cut -d" " -f1)"

echo "@step a program that keeps a hash over 16 MiB of memory and moves itself ten times"
echo "@moved-hash $(hashset 16 8 7 10 2 2>/tmp/where)"
echo "@hops $(wc -l </tmp/where)"
echo "@hash $(hashset 16 8 7)"

echo "@step what is left behind on either node"
until [ "$(both images_freed)" = "$(both moves_out)" ]; do sleep 0.1; done
echo "@images $(both moves_out) $(both images_freed)"
