# shellcheck shell=bash
# One bridge for all machines: the host is 10.99.0.1, machines are 10.99.0.10 and up. Nothing is routed to the outside.

BRIDGE=mmslab0
SUBNET=10.99.0
GATEWAY=$SUBNET.1
NETWORK_LOCK=$STATE/network.lock

network_up() {
    [ ! -e /sys/class/net/$BRIDGE ] || return 0
    ip link add $BRIDGE type bridge
    ip address add $GATEWAY/24 dev $BRIDGE
    ip link set $BRIDGE up
}

network_down() {
    [ ! -e /sys/class/net/$BRIDGE ] || ip link delete $BRIDGE
}

# network_allocate NAME: the lowest free address, recorded for NAME. Call it under the network lock.
network_allocate() {
    local number taken
    taken=" $(cat "$STATE"/machines/*/address 2>/dev/null | tr '\n' ' ' || true)"
    for number in $(seq 10 250); do
        if [[ $taken != *" $SUBNET.$number "* ]]; then
            echo "$SUBNET.$number" >"$STATE/machines/$1/address"
            return 0
        fi
    done
    die "all 241 addresses of $SUBNET.0/24 are taken" "stop machines with \`lab down\`"
}
