# What somebody would write by hand to see whether the state of playbook.yml holds: the same eighty checks, nothing else.
# It prints what does not hold and ends with 1; the files it compares with are the ones that the playbook wrote (SUMS).
root=/srv/bench
status=0
wrong() {
    echo "wrong: $*"
    status=1
}
for service in radarr sonarr lidarr prowlarr sabnzbd jellyfin immich postgres valkey backup; do
    directory=$root/$service
    [ "$(stat -c '%F %U %G %a' "$directory")" = 'directory root root 750' ] || wrong "$directory"
    [ "$(stat -c '%U %G %a' "$directory/environment")" = 'root root 640' ] || wrong "$directory/environment"
    [ "$(stat -c '%U %G %a' "$directory/settings.ini")" = 'root root 640' ] || wrong "$directory/settings.ini"
    [ "$(stat -c '%U %G %a' "/etc/systemd/system/bench-$service.service")" = 'root root 644' ] || wrong "unit of $service"
    stat "$directory/settings.ini" >/dev/null || wrong "$directory/settings.ini"
    podman image exists docker.io/valkey/valkey:9.1.2 || [ $? -eq 1 ] || wrong "podman"
    grep -qx "$service enabled" "$root/services.list" || wrong "line of $service"
    systemctl is-enabled --quiet "bench-$service.service" || wrong "$service is not enabled"
    systemctl is-active --quiet "bench-$service.service" || wrong "$service is not active"
    for file in "$directory/environment" "$directory/settings.ini" "/etc/systemd/system/bench-$service.service"; do
        sum=$(sha256sum "$file")
        case $SUMS in *"$sum"*) ;; *) wrong "content of $file" ;; esac
    done
done
exit $status
