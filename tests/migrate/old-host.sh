#!/bin/sh
# Makes a machine an old host with seven services, each installed as people do: in containers with a directory, with a named volume
# or as a group, as units of the system and of a user, with Debian's layout. Each writes to its database all the while.
# Comes after `service.sh`.
mkdir -p /mnt/media/movies /mnt/media/photos /srv/docker/radarr

useradd -m joe && useradd -m -s /usr/sbin/nologin sab && useradd -r -m -d /var/lib/jellyfin jellyfin
mkdir -p /etc/jellyfin

joe() {
    su -s /bin/sh joe -c "cd; export XDG_RUNTIME_DIR=/run/user/$(id -u joe) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u joe)/bus; $1"
}
loginctl enable-linger joe
i=0
until [ -S "/run/user/$(id -u joe)/bus" ] || [ $i -ge 100 ]; do sleep 0.1; i=$((i + 1)); done

# A container of a user, with a named volume.
joe 'podman volume create prowlarr_config >/dev/null'
prowlarr=$(joe "podman volume inspect --format '{{.Mountpoint}}' prowlarr_config")
extras "$prowlarr"
chown -R joe:joe "$prowlarr"
joe 'podman run -d --quiet --name prowlarr --network host --restart always -e PUID=1000 -e PGID=1000 -v prowlarr_config:/config lscr.io/linuxserver/prowlarr:2.6.5 >/dev/null'

# A container as Compose makes it, with a directory, and its media elsewhere.
extras /srv/docker/radarr
config 17878 >/srv/docker/radarr/config.xml
podman run -d --quiet --name media-radarr-1 --network host --restart unless-stopped --label com.docker.compose.service=radarr \
    --label com.docker.compose.project=media -e PUID=1000 -e PGID=1000 -v /srv/docker/radarr:/config -v /mnt/media/movies:/movies \
    lscr.io/linuxserver/radarr:6.4.4 >/dev/null

# A unit that says where its data is.
extras /var/lib/sonarr
config 18989 >/var/lib/sonarr/config.xml
cat >/etc/systemd/system/sonarr.service <<'UNIT'
[Unit]
Description=Sonarr
[Service]
ExecStart=/opt/lab/service sonarr /var/lib/sonarr/sonarr.db -nobrowser -data=/var/lib/sonarr
Restart=always
[Install]
WantedBy=multi-user.target
UNIT

# A unit of a user, with its data in the user's home.
extras /home/joe/.config/Lidarr
config 18686 >/home/joe/.config/Lidarr/config.xml
mkdir -p /home/joe/.config/systemd/user
cat >/home/joe/.config/systemd/user/lidarr.service <<'UNIT'
[Service]
ExecStart=/opt/lab/service lidarr /home/joe/.config/Lidarr/lidarr.db
[Install]
WantedBy=default.target
UNIT
chown -R joe:joe /home/joe

# A unit whose option names a file.
extras /home/sab/.sabnzbd
mkdir -p /home/sab/.sabnzbd/admin
cat >/home/sab/.sabnzbd/sabnzbd.ini <<'INI'
__version__ = 19
[misc]
host = 127.0.0.1
port = 18080
api_key = 00112233445566778899aabbccddeeff
host_whitelist = old-lxc,
download_dir = /mnt/media/incomplete
complete_dir = /mnt/media/complete
[servers]
[[news.example]]
host = news.example
INI
chown -R sab:sab /home/sab
cat >/etc/systemd/system/sabnzbd.service <<'UNIT'
[Service]
User=sab
ExecStart=/opt/lab/service sabnzbd /home/sab/.sabnzbd/admin/history1.db -f /home/sab/.sabnzbd/sabnzbd.ini
[Install]
WantedBy=multi-user.target
UNIT

# Debian's layout: data and settings in two directories.
extras /var/lib/jellyfin
printf '<?xml version="1.0"?>\n<ServerConfiguration>\n  <CachePath>/var/cache/jellyfin</CachePath>\n</ServerConfiguration>\n' >/etc/jellyfin/system.xml
printf '#!/bin/sh\n' >/etc/jellyfin/not-settings.sh
chown -R jellyfin:jellyfin /var/lib/jellyfin /etc/jellyfin
cat >/etc/systemd/system/jellyfin.service <<'UNIT'
[Service]
User=jellyfin
ExecStart=/opt/lab/service jellyfin /var/lib/jellyfin/data/jellyfin.db --datadir /var/lib/jellyfin --configdir=/etc/jellyfin
[Install]
WantedBy=multi-user.target
UNIT

# Several containers, with another user and password than the new host will have.
mkdir -p /opt/immich/postgres
podman network create immich >/dev/null
immich() {
    name=$1
    shift
    podman run -d --quiet --name "$name" --restart always --network immich "$@" >/dev/null
}
immich immich_postgres --network-alias database -e POSTGRES_USER=postgres -e POSTGRES_PASSWORD=old-password -e POSTGRES_DB=immich \
    -v /opt/immich/postgres:/var/lib/postgresql/data ghcr.io/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0
immich immich_redis --network-alias redis docker.io/valkey/valkey:9.1.2
immich immich_server -e DB_HOSTNAME=database -e DB_USERNAME=postgres -e DB_PASSWORD=old-password -e DB_DATABASE_NAME=immich \
    -e REDIS_HOSTNAME=redis -v /mnt/media/photos:/data ghcr.io/immich-app/immich-server:v3.3.1

systemctl daemon-reload
systemctl enable --quiet --now sonarr.service sabnzbd.service jellyfin.service
joe 'systemctl --user daemon-reload; systemctl --user enable --quiet --now lidarr.service'
