# shellcheck shell=bash
# Paths, messages, locks and privilege: what every other part uses.

CACHE=${MMS_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mms-lab}
# The bridge and its addresses belong to the whole host, so what runs is recorded in one place for all caches.
STATE=/run/mms-lab

KEY=$CACHE/keys/id_ed25519
PASSWORD_FILE=$CACHE/keys/operator-password
KNOWN_HOSTS=$CACHE/keys/known_hosts
SSH_CONFIG=$CACHE/keys/ssh_config

say() { echo "lab: $*" >&2; }

# die CAUSE CURE
die() {
    echo "lab: error: $1" >&2
    [ -z "${2:-}" ] || echo "lab: $2" >&2
    exit 1
}

# Everything but looking needs root: namespaces, mounts, a bridge.
become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null ||
        die "\`lab $1\` needs root, and sudo is not installed" "run it as root"
    exec sudo MMS_LAB_CACHE="$CACHE" MMS_LAB_RUN="${MMS_LAB_RUN:-}" "$LAB/lab" "$@"
}

# with_lock FILE COMMAND…: one at a time over all callers. The lock is on descriptor 9; daemons must not inherit it.
with_lock() {
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    (
        flock 9
        "$@"
    ) 9>"$file"
}

# hash_of PATH…: 12 digits over the names, modes and contents of files and trees.
hash_of() {
    find "$@" -type f -printf '%m %p\0' | sort -z | while IFS= read -r -d '' entry; do
        printf '%s %s\n' "${entry%% *}" "${entry#*"$LAB"/}"
        cat "${entry#* }"
    done | sha256sum | cut -c1-12
}

# words FILE: a list file without its comments, on one line.
words() { sed 's/#.*//' "$1" | tr -s ' \n' ' '; }

# A file made by root in the cache of the user who called sudo is that user's.
give_to_caller() {
    [ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$@"
}
