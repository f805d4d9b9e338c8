# shellcheck shell=bash
# Brings everything in the cache up to date. What is current is left alone, so it is quick to call before each `up`.

build_all() {
    mkdir -p "$CACHE"
    with_lock "$CACHE/build.lock" build_under_lock
}

build_under_lock() {
    local base flavour layer
    host_keys
    base=$(base_directory)
    if build_is_current "$base"; then return 0; fi
    host_programs
    host_registry_program
    [ -d "$base" ] || base_build "$base"
    for flavour in $FLAVOURS; do
        layer=$(flavour_directory "$flavour")
        [ -d "$layer" ] || flavour_build "$flavour" "$layer" "$base"
    done
    images_build
    build_remove_old "$base"
    say "everything is built"
}

build_is_current() {
    local flavour
    [ -d "$1" ] && [ -x "$CACHE/tools/usr/bin/docker-registry" ] || return 1
    for flavour in $FLAVOURS; do
        [ -d "$(flavour_directory "$flavour")" ] || return 1
    done
    images_are_current
}

# Earlier versions go, unless a machine still stands on one.
build_remove_old() {
    local base=$1 directory keep
    keep=" $base $(images_layers) "
    for directory in $FLAVOURS; do keep+="$(flavour_directory "$directory") "; done
    for directory in "$CACHE"/base-* "$CACHE"/flavour-* "$CACHE"/layers-*; do
        [ -d "$directory" ] && [[ $keep != *" $directory "* ]] || continue
        grep -qs "$directory" /proc/[0-9]*/mounts || rm -rf "$directory"
    done
    rm -rf "$CACHE"/*.new "$CACHE"/push.*
}

build_clean() {
    [ -z "$(machine_names)" ] || die "machines are up: $(machine_names | xargs)" "stop them with \`lab down --all\`"
    rm -rf "$CACHE"
}
