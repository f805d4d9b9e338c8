# shellcheck shell=bash
# What the host itself must have: programs from Debian, a mirror to install from, and the lab's own keys.

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# program=package, for each program that some part of the lab calls
HOST_PROGRAMS_DEBIAN="systemd-nspawn=systemd-container mmdebstrap=mmdebstrap skopeo=skopeo createrepo_c=createrepo-c
rpmbuild=rpm dpkg-scanpackages=dpkg-dev python3=python3 ssh-keygen=openssh-client ip=iproute2 nsenter=util-linux setpriv=util-linux
flock=util-linux curl=curl openssl=openssl pgrep=procps"
HOST_PROGRAMS_FEDORA="systemd-nspawn=systemd-container mmdebstrap=mmdebstrap skopeo=skopeo createrepo_c=createrepo_c
rpmbuild=rpm-build dpkg-scanpackages=dpkg-dev python3=python3 ssh-keygen=openssh ip=iproute nsenter=util-linux setpriv=util-linux
flock=util-linux curl=curl openssl=openssl pgrep=procps-ng"

host_programs() {
    local pair programs=$HOST_PROGRAMS_DEBIAN missing=()
    host_is_debian || programs=$HOST_PROGRAMS_FEDORA
    for pair in $programs; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    # mmdebstrap verifies what it fetches with Debian's keys, which are no program
    [ -e "$DEBIAN_KEYRING" ] || missing+=("$(host_is_debian && echo debian-archive-keyring || echo debian-keyring)")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    if host_is_debian; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$CACHE/apt.log" 2>&1 ||
            die "apt-get could not install ${missing[*]}" "its words are in $CACHE/apt.log"
    elif command -v dnf >/dev/null; then
        dnf install -y -q "${missing[@]}" >"$CACHE/dnf.log" 2>&1 ||
            die "dnf could not install ${missing[*]}" "its words are in $CACHE/dnf.log"
    else
        die "this host lacks: ${missing[*]}" "there is neither apt-get nor dnf: install them by hand"
    fi
}

# Fedora has apt as well, but no mirror for it.
host_is_debian() { [ -e /etc/debian_version ]; }

# The Debian mirror that the host's own apt uses, in either of apt's formats.
host_mirror() {
    local mirror
    host_is_debian || { echo http://deb.debian.org/debian && return 0; }
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -nE 's/^URIs: *//p; s/^deb +(\[[^]]*\] +)?//p' | awk '$1 ~ /\/debian\/?$/ { print $1; exit }')
    [ -n "$mirror" ] ||
        die "no Debian mirror in /etc/apt/sources.list*" "add one whose address ends in /debian"
    echo "$mirror"
}

# mmdebstrap SUITE line with the keyring spelled out: the host may be an older Debian with other default keys.
host_mirror_line() {
    echo "deb [signed-by=$DEBIAN_KEYRING] $(host_mirror) $1 main"
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
    rm -rf "$tools" "$tools.new"
    if ! host_is_debian; then
        mmdebstrap --mode=root --variant=extract --include=docker-registry trixie "$tools.new" "$(host_mirror_line trixie)" \
            >"$CACHE/registry-program.log" 2>&1 ||
            die "mmdebstrap could not fetch docker-registry" "its words are in $CACHE/registry-program.log"
        mv "$tools.new" "$tools"
        return 0
    fi
    mkdir -p "$tools.new/deb"
    (
        cd "$tools.new/deb"
        apt-get download -qq docker-registry >"$CACHE/apt.log" 2>&1 || { apt-get update -qq && apt-get download -qq docker-registry; } >"$CACHE/apt.log" 2>&1
    ) || die "apt-get could not fetch docker-registry" "its words are in $CACHE/apt.log"
    dpkg-deb -x "$tools.new"/deb/docker-registry_*.deb "$tools.new"
    mv "$tools.new" "$tools"
}
