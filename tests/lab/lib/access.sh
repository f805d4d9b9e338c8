# shellcheck shell=bash
# Ways into a machine: SSH as a stranger would, or straight through its namespaces; and what other programs need for SSH.

# What SSH clients need to know of the machines that are up: their keys, so that clients verify them for real, and a
# configuration. OpenSSH wants it as a file that its children can open again.
access_refresh() { with_lock "$CACHE/keys/lock" access_write_files; }

access_write_files() {
    local name directory key
    for name in $(machine_names); do
        directory=$(cat "$STATE/machines/$name/directory" 2>/dev/null) || continue
        for key in "$directory"/upper/etc/ssh/ssh_host_*_key.pub; do
            [ ! -e "$key" ] || echo "$name,$(machine_address "$name") $(cut -d' ' -f1,2 "$key")"
        done
    done >"$KNOWN_HOSTS.new"
    mv "$KNOWN_HOSTS.new" "$KNOWN_HOSTS"
    access_ssh_config >"$SSH_CONFIG.new"
    mv "$SSH_CONFIG.new" "$SSH_CONFIG"
    give_to_caller "$KNOWN_HOSTS" "$SSH_CONFIG"
}

access_ssh_config() {
    local name
    for name in $(machine_names); do
        printf 'Host %s\n    HostName %s\n    HostKeyAlias %s\n    User root\n' "$name" "$(machine_address "$name")" "$name"
    done
    cat <<CONFIG
Host *
    IdentityFile $KEY
    IdentitiesOnly yes
    UserKnownHostsFile $KNOWN_HOSTS
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    LogLevel ERROR
CONFIG
}

access_ssh() {
    local target=${1:?lab ssh [USER@]NAME [CMD…]}
    shift
    machine_address "${target#*@}" >/dev/null
    ssh -F "$SSH_CONFIG" "$target" "$@"
}

access_inventory() {
    local name
    [ $# -gt 0 ] || die "no machine named" "usage: lab inventory NAME…"
    printf 'all:\n  hosts:\n'
    for name in "$@"; do
        printf '    %s:\n      ansible_host: %s\n' "$name" "$(machine_address "$name")"
    done
    cat <<INVENTORY
  vars:
    ansible_user: ${MMS_LAB_USER:-root}
    ansible_ssh_private_key_file: $KEY
    ansible_ssh_common_args: >-
      -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes
      -o UserKnownHostsFile=$KNOWN_HOSTS -o GlobalKnownHostsFile=/dev/null
INVENTORY
}

# access_inside NAME CMD…: in the machine's namespaces and cgroups, with the environment of a root login. logind refuses to
# serve a process whose cgroup it cannot see.
access_inside() {
    local name=$1
    shift
    (
        cgroup=$(machine_cgroup "$name")/nspawn/payload/lab.scope
        mkdir -p "$cgroup"
        echo "$BASHPID" >"$cgroup/cgroup.procs"
        # nsenter keeps the rights of the host's root; the clock of the host must stay out of reach, as it is for the machine.
        # The program is found by the machine's env, in the machine's own directories.
        exec setpriv --bounding-set -sys_time --inh-caps -sys_time nsenter --target "$(machine_pid "$name")" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
            /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root USER=root LANG=C.UTF-8 \
            TERM="${TERM:-dumb}" "$@"
    )
}

access_exec() {
    local name=${1:?lab exec NAME CMD…}
    shift
    [ $# -gt 0 ] || die "no command" "usage: lab exec NAME CMD…"
    machine_must_be_up "$name"
    access_inside "$name" "$@"
}

access_copy() {
    [ $# -ge 3 ] || die "too few arguments" "usage: lab copy NAME FILE… DIR"
    local name=$1 to=${*: -1} file
    machine_must_be_up "$name"
    shift
    for file in "${@:1:$#-1}"; do
        tar -C "$(dirname "$file")" -cf - --owner=0 --group=0 "$(basename "$file")" | access_inside "$name" tar -C "$to" -xf -
    done
}

access_logs() {
    local name=${1:?lab logs NAME [ARGS…]}
    shift
    if machine_is_up "$name"; then
        access_inside "$name" journalctl --no-pager "$@"
    else
        cat "$CACHE/machines/$name/console" 2>/dev/null || die "there is nothing left of $name" "start it with \`lab up $name\`"
    fi
}
