# shellcheck shell=bash
# What the host itself must have: programs from Debian, a mirror to install from, and the lab's own keys.

# program=package, for each program that some part of the lab calls
HOST_PROGRAMS="systemd-nspawn=systemd-container mmdebstrap=mmdebstrap skopeo=skopeo createrepo_c=createrepo-c
rpmbuild=rpm dpkg-scanpackages=dpkg-dev python3=python3 ssh-keygen=openssh-client ip=iproute2 nsenter=util-linux setpriv=util-linux
flock=util-linux curl=curl openssl=openssl pgrep=procps"

host_programs() {
    local pair missing=()
    for pair in $HOST_PROGRAMS; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "this host lacks: ${missing[*]}" "the lab installs them by itself on Debian only: install them by hand"
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$CACHE/apt.log" 2>&1 ||
        die "apt-get could not install ${missing[*]}" "its words are in $CACHE/apt.log"
}

# The Debian mirror that the host's own apt uses, in either of apt's formats.
host_mirror() {
    local mirror
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -nE 's/^URIs: *//p; s/^deb +(\[[^]]*\] +)?//p' | awk '$1 ~ /\/debian\/?$/ { print $1; exit }')
    [ -n "$mirror" ] ||
        die "no Debian mirror in /etc/apt/sources.list*" "add one whose address ends in /debian"
    echo "$mirror"
}

# mmdebstrap SUITE line with the keyring spelled out: the host may be an older Debian with other default keys.
host_mirror_line() {
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(host_mirror) $1 main"
}

host_keys() {
    mkdir -p "$CACHE/keys"
    [ -e "$KEY" ] || ssh-keygen -q -t ed25519 -N '' -C mms-lab -f "$KEY"
    [ -e "$PASSWORD_FILE" ] || (umask 077 && printf 'lab-%s\n' "$(head -c 6 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$PASSWORD_FILE")
    [ -e "$KNOWN_HOSTS" ] || touch "$KNOWN_HOSTS"
    give_to_caller "$CACHE" "$CACHE/keys"
}

# docker-registry is unpacked, not installed: its package would start a service of its own on port 5000.
host_registry_program() {
    local tools=$CACHE/tools
    [ ! -x "$tools/usr/bin/docker-registry" ] || return 0
    say "fetching docker-registry"
    rm -rf "$tools" && mkdir -p "$tools.new/deb"
    (
        cd "$tools.new/deb"
        apt-get download -qq docker-registry >"$CACHE/apt.log" 2>&1 || { apt-get update -qq && apt-get download -qq docker-registry; } >"$CACHE/apt.log" 2>&1
    ) || die "apt-get could not fetch docker-registry" "its words are in $CACHE/apt.log"
    dpkg-deb -x "$tools.new"/deb/docker-registry_*.deb "$tools.new"
    mv "$tools.new" "$tools"
}
