# shellcheck shell=bash
# The stand-in images: which there are, their layers, and bringing them into the registry.

images_layers() { echo "$CACHE/layers-$(hash_of "$LAB/images/pluck" "$LAB/images/packages" "$LAB/images/files")"; }

# every image that a service names, and those of the default list
images_names() {
    {
        words "$LAB/images/default-list" | xargs -n1
        find "$REPO/services" -name '*.yml' -exec sed -nE "s/^[ -]*image: *[\"']?([^\"' #]+).*/\1/p" {} + 2>/dev/null || true
    } | sed -E 's#@sha256:.*##; s#^([^/.]+/)#docker.io/\1#; s#^([^/]+)$#docker.io/library/\1#; s#(/[^/:]+)$#\1:latest#' | sort -u
}

images_stamp() {
    { images_names; hash_of "$LAB/images"; } | sha256sum | cut -c1-12
}

images_are_current() {
    [ -d "$(images_layers)" ] && [ "$(cat "$REGISTRY_STORAGE/stamp" 2>/dev/null)" = "$(images_stamp)" ]
}

images_build() {
    local layers image address
    images_are_current && return 0
    layers=$(images_layers)
    if [ ! -d "$layers" ]; then
        say "building the layers of the stand-in images"
        rm -rf "$layers.new"
        "$LAB/images/pluck" "$layers.new" "$(host_mirror_line trixie)" >"$CACHE/layers.log" 2>&1 ||
            die "images/pluck failed" "its words are in $CACHE/layers.log"
        mv "$layers.new" "$layers"
    fi
    say "publishing $(images_names | wc -l) stand-in images"
    # A registry of its own, on loopback: the one on the bridge may not run, or may be in use.
    address=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    registry_serve "$address"
    for image in $(images_names); do
        registry_push "$address" "$image" v1
    done
    kill "$REGISTRY_PID"
    rm -f "$CACHE/registry-$address.yml"
    images_stamp >"$REGISTRY_STORAGE/stamp"
}

images_list() {
    images_names
}
