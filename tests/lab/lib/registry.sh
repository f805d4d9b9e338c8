# shellcheck shell=bash
# The registry: docker-registry on the bridge, up while machines are. Every registry name in a machine leads to it:
# docker.io/library/x:1 is 10.99.0.1:5000/docker.io/library/x:1. Before that a machine looks below only/NAME/, which no
# other machine reads: there a test can change a tag under one machine while other tests go on with the original.

REGISTRY_PORT=5000
REGISTRY_STORAGE=$CACHE/registry
REGISTRY_NAMES="docker.io ghcr.io lscr.io quay.io gcr.io registry.k8s.io registry.fedoraproject.org codeberg.org"

# registry_serve ADDRESS: runs docker-registry in the background and sets REGISTRY_PID.
# No cache and deletable manifests: the storage is also changed by hand, and by other instances.
registry_serve() {
    mkdir -p "$REGISTRY_STORAGE"
    cat >"$CACHE/registry-$1.yml" <<CONFIG
version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: $REGISTRY_STORAGE }, delete: { enabled: true }, maintenance: { uploadpurging: { enabled: false } } }
http: { addr: "$1" }
CONFIG
    setsid "$CACHE/tools/usr/bin/docker-registry" serve "$CACHE/registry-$1.yml" </dev/null >"$CACHE/registry.log" 2>&1 9>&- &
    REGISTRY_PID=$!
    local tries=0
    until curl --silent --fail --output /dev/null "http://$1/v2/"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] && [ -d "/proc/$REGISTRY_PID" ] || die "docker-registry does not start on $1" "its words are in $CACHE/registry.log"
        sleep 0.05
    done
}

registry_is_up() {
    local pid
    pid=$(cat "$STATE/registry.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = docker-registry ]
}

# under the network lock, as registry_down
registry_up() {
    ! registry_is_up || return 0
    registry_serve "$GATEWAY:$REGISTRY_PORT"
    echo "$REGISTRY_PID" >"$STATE/registry.pid"
}

registry_down() {
    ! registry_is_up || kill "$(cat "$STATE/registry.pid")"
    rm -f "$STATE/registry.pid"
}

# registry_configuration NAME: the registries.conf of that machine
registry_configuration() {
    local registry
    echo 'unqualified-search-registries = ["docker.io"]'
    for registry in $REGISTRY_NAMES; do
        cat <<CONFIG

[[registry]]
prefix = "$registry"
location = "$GATEWAY:$REGISTRY_PORT/$registry"
insecure = true
[[registry.mirror]]
location = "$GATEWAY:$REGISTRY_PORT/only/$1/$registry"
insecure = true
CONFIG
    done
}

# what was pushed for one machine alone goes with it
registry_forget() { rm -rf "$REGISTRY_STORAGE/docker/registry/v2/repositories/only/$1"; }

# registry_push ADDRESS IMAGE:TAG VARIANT: builds the stand-in and pushes it; ADDRESS may end in a path
registry_push() {
    local layout
    layout=$(mktemp -d "$CACHE/push.XXXXXX")
    "$LAB/images/assemble" "$(images_layers)" "$2" "$3" "$layout" &&
        skopeo --insecure-policy copy --quiet --dest-tls-verify=false "oci:$layout:image" "docker://$1/$2" ||
        { rm -rf "$layout"; die "pushing $2 failed" "see the words above; the registry's are in $CACHE/registry.log"; }
    rm -rf "$layout"
}

registry_command_push() {
    local image='' variant=v1 only='' usage="usage: lab push-image IMAGE:TAG [--variant v1|v2|broken|crash] [--for NAME]"
    while [ $# -gt 0 ]; do
        case $1 in
            --variant) variant=${2:?$usage} && shift ;;
            --for) only=${2:?$usage} && shift ;;
            -*) die "lab push-image has no option $1" "$usage" ;;
            *) image=$1 ;;
        esac
        shift
    done
    [[ $image == *.*/*:* ]] || die "\`$image\` is not REGISTRY/PATH:TAG" "$usage"
    [[ " v1 v2 broken crash " == *" $variant "* ]] || die "there is no variant \`$variant\`" "$usage"
    registry_is_up || die "the registry is down" "it runs while machines are up: lab up NAME"
    [ -z "$only" ] || machine_must_be_up "$only"
    registry_push "$GATEWAY:$REGISTRY_PORT${only:+/only/$only}" "$image" "$variant"
    say "pushed $image, variant $variant${only:+, for $only alone}"
}
