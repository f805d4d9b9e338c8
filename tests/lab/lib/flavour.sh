# shellcheck shell=bash
# A flavour: what makes the base look and install like one distribution. It is the upper layer of an overlay on the base,
# made by running flavours/NAME/setup in a chroot, so a flavour can also remove files of the base.

FLAVOURS="fedora debian"

flavour_directory() {
    local name=$1
    echo "$CACHE/flavour-$name-$( (hash_of "$LAB/flavours/$name" "$LAB/packages" "$LAB/lib/flavour.sh" && base_directory) | sha256sum | cut -c1-12)"
}

flavour_build() {
    local name=$1 target=$2 base=$3 new=$2.new
    say "building the flavour $name"
    rm -rf "$new" && mkdir -p "$new"/{upper,work,merged,packages}
    "$LAB/packages/build-$name" "$new/packages" >"$CACHE/flavour-$name.log" 2>&1 ||
        die "packages/build-$name failed" "its words are in $CACHE/flavour-$name.log"
    # In a mount namespace of its own nothing stays mounted, whatever happens. The trailing script sees the variables by name.
    # shellcheck disable=SC2016
    NEW=$new BASE=$base FLAVOUR=$LAB/flavours/$name unshare --mount sh -eu -c '
        mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$NEW/upper,workdir=$NEW/work" "$NEW/merged"
        mount -t proc proc "$NEW/merged/proc"
        cp -r "$FLAVOUR/files/." "$NEW/merged/"
        mkdir -p "$NEW/merged/usr/share/lab"
        cp -r "$NEW/packages" "$NEW/merged/usr/share/lab/packages"
        chroot "$NEW/merged" /bin/sh -s <"$FLAVOUR/setup"
    ' >>"$CACHE/flavour-$name.log" 2>&1 || die "flavours/$name/setup failed" "its words are in $CACHE/flavour-$name.log"
    rm -rf "$new/merged" "$new/work" "$new/packages"
    mv "$new" "$target"
}
