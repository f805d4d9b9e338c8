# shellcheck shell=bash
# The base: one Debian root file system that every machine is an overlay on.
# A directory in the cache is named by the hash of what it was made from: if it is there, it is complete and current.

base_directory() {
    local inputs
    inputs=$( (hash_of "$LAB/base" "$LAB/lib/base.sh" && cat "$KEY.pub" "$PASSWORD_FILE") | sha256sum | cut -c1-12)
    echo "$CACHE/base-$inputs"
}

base_build() {
    local target=$1 new=$1.new packages
    say "building the base system: about a minute"
    rm -rf "$new"
    packages=$(words "$LAB/base/packages" | xargs | tr ' ' ',')
    # The manuals and translations of 300 packages are never read here; without them the tree is half the size.
    mmdebstrap --mode=root --variant=minbase --include="$packages" --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie "$new" "$(host_mirror_line trixie)" >"$CACHE/base.log" 2>&1 ||
        die "mmdebstrap failed" "its words are in $CACHE/base.log"
    cp -r "$LAB/base/files/." "$new/"
    chroot "$new" /bin/sh -s -- "$(openssl passwd -6 -stdin <"$PASSWORD_FILE")" "$(cat "$KEY.pub")" \
        <"$LAB/base/setup" >>"$CACHE/base.log" 2>&1 || die "base/setup failed" "its words are in $CACHE/base.log"
    mv "$new" "$target"
}
