# shellcheck shell=bash
# One hash over what a plan must not touch: names, owners, modes, link targets and contents, and the installed packages.
# It leaves out what changes on a machine that nobody touches: logs, caches, and the data of running services.

HASH_PLACES="/etc /home /root /srv /opt /var/spool /var/lib/systemd/linger /var/lib/tailscale /usr/local /usr/lib/systemd"

hash_command() {
    local name='' list=no exclude=()
    while [ $# -gt 0 ]; do
        case $1 in
            --list) list=yes ;;
            --exclude) exclude+=("${2:?--exclude needs a path}") && shift ;;
            -*) die "lab hash has no option $1" "usage: lab hash NAME [--list] [--exclude PATH]…" ;;
            *) name=$1 ;;
        esac
        shift
    done
    [ -n "$name" ] || die "no machine named" "usage: lab hash NAME [--list] [--exclude PATH]…"
    machine_must_be_up "$name"
    if [ $list = yes ]; then
        hash_lines "$name" "${exclude[@]}"
    else
        hash_lines "$name" "${exclude[@]}" | sha256sum | cut -c1-64
    fi
}

# hash_lines NAME [EXCLUDED…]: one line per file, sorted
hash_lines() {
    local name=$1
    shift
    access_inside "$name" env LC_ALL=C PLACES="$HASH_PLACES" sh -s -- "$@" <<'SCRIPT' | LC_ALL=C sort
    for path; do
        set -- "$@" -o -path "$path"
        shift
    done
    # A directory with a PG_VERSION is the data of a PostgreSQL; Podman's storage is no configuration.
    for data in $(find /home /srv /opt -name PG_VERSION -printf '%h\n' 2>/dev/null); do set -- "$@" -o -path "$data"; done
    excluded='-path /etc/resolv.conf -o -path /etc/machine-id -o -path /etc/.pwd.lock -o -path */.local/share/containers
        -o -name .cache -o -name .*_history -o -name .sudo_as_admin_successful -o -name *.log -o -name logs
        -o -name *.db -o -name *.db-wal -o -name *.db-shm -o -name dump.rdb -o -name .immich'
    set -f
    find $PLACES \( $excluded "$@" \) -prune -o -printf '%p %y %u:%g %m %l\n' 2>/dev/null
    find $PLACES \( $excluded "$@" \) -prune -o -type f -print0 2>/dev/null | xargs -0 sha256sum
    set +f
    dpkg-query --show 2>/dev/null
    rpm -qa --queryformat 'rpm %{name} %{evr}\n' 2>/dev/null
    # Transient units come and go with logins.
    systemctl list-unit-files --no-legend --no-pager | tr -s ' ' | grep -v ' transient ' | sed 's/^/unit-file /'
SCRIPT
}
