# shellcheck shell=bash
# The life of a machine: an overlay over its flavour and the base, booted by systemd-nspawn in a cgroup of its own.
#
#   $STATE/machines/NAME/  address, flavour, directory, run (MMS_LAB_RUN of who asked for it), keeper (the process that boots
#                          it); gone when the machine is
#   $CACHE/machines/NAME/  upper, work, merged, home, console: the machine's own disk

# The number of a process may have been given to a stranger since: only ours is in the machine's cgroup.
machine_is_up() {
    grep -qs "/mms-lab/$1\(/\|$\)" "/proc/$(cat "$STATE/machines/$1/keeper" 2>/dev/null || echo none)/cgroup"
}

machine_names() {
    local directory
    for directory in "$STATE"/machines/*/; do
        [ ! -d "$directory" ] || basename "$directory"
    done
}

machine_must_be_up() {
    machine_is_up "$1" || die "there is no running machine \`$1\`" "start it with \`lab up $1\`; running: $(machine_names | xargs)"
}

machine_address() {
    cat "$STATE/machines/$1/address" 2>/dev/null ||
        die "there is no machine \`$1\`" "start it with \`lab up $1\`"
}

# The machine's init: another process after each reboot.
machine_pid() {
    local nspawn
    nspawn=$(pgrep --parent "$(cat "$STATE/machines/$1/keeper")" '^systemd-nspaw') &&
        pgrep --parent "$nspawn" '^(systemd|init)$' ||
        die "$1 has no init: it is starting, rebooting or dead" "look at \`lab list\`, and try again in a second"
}

machine_list() {
    local name
    for name in $(machine_names); do
        printf '%s %s %s %s\n' "$name" "$(machine_address "$name")" "$(cat "$STATE/machines/$name/flavour")" \
            "$(machine_is_up "$name" && echo up || echo dead)"
    done
}

machine_command_up() {
    local flavour='' names=() pids=() name status=0
    while [ $# -gt 0 ]; do
        case $1 in
            --flavour) flavour=${2:?--flavour needs a name: $FLAVOURS} && shift ;;
            --flavour=*) flavour=${1#*=} ;;
            -*) die "lab up has no option $1" "usage: lab up NAME… [--flavour fedora|debian]" ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    [ ${#names[@]} -gt 0 ] || die "no machine named" "usage: lab up NAME… [--flavour fedora|debian]"
    [ -z "$flavour" ] || [[ " $FLAVOURS " == *" $flavour "* ]] || die "there is no flavour \`$flavour\`" "choose one of: $FLAVOURS"
    for name in "${names[@]}"; do
        # a longer name would not fit in the name of its network interface
        [[ $name =~ ^[a-z][a-z0-9-]{0,11}$ ]] ||
            die "\`$name\` cannot name a machine" "use at most 12 of a-z, 0-9 and -, starting with a letter"
    done
    build_all
    for name in "${names[@]}"; do
        with_lock "$STATE/lock/$name" machine_up "$name" "$flavour" &
        pids+=($!)
    done
    for name in "${pids[@]}"; do wait "$name" || status=1; done
    access_refresh
    return $status
}

# machine_up NAME [FLAVOUR]; under the machine's lock
machine_up() {
    local name=$1 flavour=${2:-fedora} disk=$CACHE/machines/$1 started=$EPOCHREALTIME
    if machine_is_up "$name"; then
        local has
        has=$(cat "$STATE/machines/$name/flavour")
        [ -z "${2:-}" ] || [ "$has" = "$flavour" ] ||
            die "$name is up, but its flavour is $has" "take it down first: lab down $name"
        return 0
    fi
    machine_remove "$name"
    mkdir -p "$STATE/machines/$name"
    echo "$flavour" >"$STATE/machines/$name/flavour"
    echo "$disk" >"$STATE/machines/$name/directory"
    echo "${MMS_LAB_RUN:-}" >"$STATE/machines/$name/run"
    with_lock "$NETWORK_LOCK" machine_join_network "$name"
    machine_make_disk "$name" "$disk"
    machine_start "$name" "$disk" "$flavour"
    machine_wait "$name" "$disk"
    say "$name is up: $(machine_address "$name"), $flavour, $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $started }") s"
}

machine_join_network() {
    network_up
    registry_up
    network_allocate "$1"
}

# What differs from machine to machine goes into the overlay before it boots.
machine_make_disk() {
    local name=$1 disk=$2 address etc=$2/upper/etc
    address=$(machine_address "$name")
    mkdir -p "$etc"/{ssh,systemd/network,containers/registries.conf.d} "$disk"/{work,merged,home}
    cp -a "$(base_directory)/home/." "$disk/home/"
    echo "$name" >"$etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
    printf '127.0.0.1 localhost\n::1 localhost\n%s %s\n' "$address" "$name" >"$etc/hosts"
    # Nothing answers there: a lookup fails at once, as it should without an internet.
    echo "nameserver $GATEWAY" >"$etc/resolv.conf"
    printf '[Match]\nName=host0\n\n[Network]\nAddress=%s/24\nGateway=%s\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
        "$address" "$GATEWAY" >"$etc/systemd/network/10-lab.network"
    registry_configuration "$name" >"$etc/containers/registries.conf.d/lab.conf"
    local type
    for type in ed25519 ecdsa; do
        ssh-keygen -q -t $type -N '' -C "root@$name" -f "$etc/ssh/ssh_host_${type}_key"
    done
}

machine_start() {
    local name=$1 disk=$2 flavour=$3 tries=0
    setsid unshare --mount "$LAB/keeper" "$name" "$disk" "$(machine_cgroup "$name")" "$BRIDGE" \
        "$(flavour_directory "$flavour")/upper:$(base_directory)" </dev/null >"$disk/console" 2>&1 9>&- &
    local keeper=$!
    echo "$keeper" >"$STATE/machines/$name/keeper"
    until machine_is_up "$name" && (machine_pid "$name") >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ -d "/proc/$keeper" ] && [ $tries -lt 100 ] ||
            die "systemd-nspawn did not start $name: $(tail -n 3 "$disk/console")" "see $disk/console"
        sleep 0.05
    done
}

# The cgroup v2 tree is at one place on a pure v2 host and at another on a hybrid one.
machine_cgroup() {
    local root
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$root" ] || die "this host has no cgroup2 file system" "mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
    echo "$root/mms-lab/$1"
}

# A machine is ready when SSH answers and its start-up has nothing left to do.
machine_wait() {
    local name=$1 disk=$2 deadline=$((SECONDS + 60)) address
    address=$(machine_address "$name")
    until timeout 1 bash -c "exec 3<>/dev/tcp/$address/22 && head -c 4 <&3" 2>/dev/null | grep -q SSH- &&
        access_inside "$name" systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
        machine_is_up "$name" || die "$name died while booting: $(tail -n 3 "$disk/console")" "see $disk/console"
        [ $SECONDS -lt $deadline ] ||
            die "$name did not answer on $address:22 within 60 s" "look with \`lab logs $name -b\`, then \`lab down $name\`"
        sleep 0.05
    done
}

machine_command_down() {
    local names=("$@") name
    [ $# -gt 0 ] || die "no machine named" "usage: lab down NAME… | --run ID | --all"
    # shellcheck disable=SC2207
    case $1 in
        --all) names=($(machine_names)) ;;
        --run) names=($(machine_names_of_run "${2:?--run needs the MMS_LAB_RUN that the machines were booted with}")) ;;
    esac
    for name in "${names[@]}"; do
        [ "${name#-}" = "$name" ] || die "lab down has no option $name" "usage: lab down NAME… | --run ID | --all"
        with_lock "$STATE/lock/$name" machine_remove "$name" &
    done
    wait
    with_lock "$NETWORK_LOCK" machine_leave_network
    access_refresh
}

machine_names_of_run() {
    local name
    for name in $(machine_names); do
        [ "$(cat "$STATE/machines/$name/run" 2>/dev/null)" != "$1" ] || echo "$name"
    done
}

machine_leave_network() {
    [ -z "$(machine_names)" ] || return 0
    registry_down
    network_down
    rmdir "$(machine_cgroup .)" 2>/dev/null || true
    rmdir "$STATE/machines" 2>/dev/null || true
}

# Removes every trace of a machine, also of one that is half dead; does nothing if there is none.
machine_remove() {
    local name=$1 disk=$CACHE/machines/$1 state=$STATE/machines/$1
    [ ! -e "$state/directory" ] || disk=$(cat "$state/directory")
    machine_kill "$name"
    [ ! -e "/sys/class/net/vb-$name" ] || ip link delete "vb-$name" 2>/dev/null || true
    rm -rf "$disk"
    registry_forget "$name"
    rm -rf "$state"
}

# The kernel kills what is in the machine's cgroup, systemd-nspawn included, and with that the mounts go too.
machine_kill() {
    local cgroup tries=0
    cgroup=$(machine_cgroup "$1")
    while [ -d "$cgroup" ]; do
        echo 1 >"$cgroup/cgroup.kill"
        find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        tries=$((tries + 1))
        [ $tries -lt 200 ] || die "processes of $1 do not end" "look at $cgroup/cgroup.procs"
        [ ! -d "$cgroup" ] || sleep 0.05
    done
}

machine_command_reset() {
    local name pids=() status=0
    [ $# -gt 0 ] || die "no machine named" "usage: lab reset NAME…"
    build_all
    for name in "$@"; do
        machine_must_be_up "$name"
        with_lock "$STATE/lock/$name" machine_reset "$name" &
        pids+=($!)
    done
    for name in "${pids[@]}"; do wait "$name" || status=1; done
    access_refresh
    return $status
}

# An address is the lowest free one, so the machine nearly always gets its own again.
machine_reset() {
    local name=$1 address flavour
    address=$(machine_address "$name")
    flavour=$(cat "$STATE/machines/$name/flavour")
    machine_remove "$name"
    machine_up "$name" "$flavour"
    [ "$(machine_address "$name")" = "$address" ] || say "$name has a new address: another machine took $address"
}
