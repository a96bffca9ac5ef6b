# how.sh HOW MIB NODE...: a process that goes on writing is moved from node to node in that way;
# prints each node that it is on then, and what it says of its memory at the end.
how=$1 mib=$2 said=/tmp/how.said
shift 2
writer $mib 64 >$said &
p=$!
until [ -s $said ]; do sleep 0.05; done
for node in "$@"; do
    migrate --how=$how $p $node || exit 1
    cat /proc/$p/node
done
kill -TERM $p
wait $p
sed 1d $said
rm $said
