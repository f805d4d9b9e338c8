#!/bin/sh
# Makes a machine an old host with seven services, each installed as people do: in containers with a directory, with a named volume
# or as a group, as units of the system and of a user, with Debian's layout. Each writes to its database all the while.
set -eu

mkdir -p /opt/lab /mnt/media/movies /mnt/media/photos /srv/docker/radarr

# A service without a container: a database in WAL mode, held open, that gains a row each second, as the stand-in images have it.
cat >/opt/lab/service <<'SERVICE'
#!/bin/sh
# service NAME DATABASE [OPTIONS…]
db=$2
mkdir -p "$(dirname "$db")"
sqlite3 "$db" >/dev/null <<SQL
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS version (version TEXT, since TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY AUTOINCREMENT, date TEXT DEFAULT CURRENT_TIMESTAMP, event TEXT);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE IF NOT EXISTS RootFolders (Id INTEGER PRIMARY KEY, Path TEXT);
INSERT OR IGNORE INTO RootFolders VALUES (1, '/mnt/media/$1');
INSERT OR IGNORE INTO counter VALUES ('rows', 0);
SQL
while :; do
    echo "BEGIN; INSERT INTO history (event) VALUES ('tick'); UPDATE counter SET value = value + 1; COMMIT;"
    sleep 1
done | exec sqlite3 -cmd '.timeout 5000' "$db"
SERVICE
chmod 755 /opt/lab/service

# What every one of them has besides.
extras() {
    mkdir -p "$1/logs" "$1/deep/er" "$1/MediaCover"
    head -c 300000 /dev/urandom >"$1/deep/er/blob"
    head -c 2000 /dev/urandom >"$1/logs/old.txt"
    printf 'a name\n' >"$1/deep/with spaces & \$igns"
    printf 'two lines\n' >"$1/deep/line
end"
    chmod 600 "$1/deep/er/blob"
    ln -sfn er/blob "$1/deep/link"
    : >"$1/empty"
    printf 'old\n' >"$1/marker"
}

config() {
    printf '<Config>\n  <BindAddress>127.0.0.1</BindAddress>\n  <Port>%s</Port>\n  <ApiKey>0123456789abcdef</ApiKey>\n  <EnableSsl>True</EnableSsl>\n</Config>\n' "$1"
}

useradd -m joe && useradd -m -s /usr/sbin/nologin sab && useradd -r -m -d /var/lib/jellyfin jellyfin
mkdir -p /etc/jellyfin

# A container with a named volume.
podman volume create prowlarr_config >/dev/null
prowlarr=$(podman volume inspect --format '{{.Mountpoint}}' prowlarr_config)
extras "$prowlarr"
podman run -d --quiet --name prowlarr --network host --restart always -e PUID=1000 -e PGID=1000 \
    -v prowlarr_config:/config lscr.io/linuxserver/prowlarr:2.6.5 >/dev/null

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
loginctl enable-linger joe
i=0
until [ -S "/run/user/$(id -u joe)/bus" ] || [ $i -ge 100 ]; do sleep 0.1; i=$((i + 1)); done
su -s /bin/sh joe -c 'XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR; systemctl --user daemon-reload; systemctl --user enable --quiet --now lidarr.service'
