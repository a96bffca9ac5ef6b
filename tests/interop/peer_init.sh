#!/bin/sh
# Init of the Linux peer: sets up eth0 and rxe0, then runs commands that come over ttyS1,
# one a line in base64, and answers with their output and a line "@@END MARK STATUS".
# Kernel command line: peer.ip=10.7.0.100 peer.mtu=1500
export PATH=/bin:/sbin:/usr/bin HOME=/root
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /bin /var/run
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
hostname peer
for word in $(cat /proc/cmdline); do
    case $word in
    peer.ip=*) ip=${word#peer.ip=} ;;
    peer.mtu=*) mtu=${word#peer.mtu=} ;;
    esac
done
while read -r module; do
    insmod "/modules/$module" || echo "peer: insmod $module failed"
done < /modules/order
ip link set lo up
ip link set eth0 mtu "$mtu"
ip addr add "$ip/24" dev eth0
ip link set eth0 up
rdma link add rxe0 type rxe netdev eth0 || echo "peer: no rxe0"
exec 3<>/dev/ttyS1
stty raw -echo <&3
stty icanon -echo icrnl -opost <&3
echo "@@READY" >&3
while read -r mark command <&3; do
    echo "$command" | base64 -d > /tmp/command
    sh /tmp/command < /dev/null >&3 2>&1
    status=$?
    printf '\n@@END %s %s\n' "$mark" "$status" >&3
done
