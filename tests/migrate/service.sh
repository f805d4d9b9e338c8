#!/bin/sh
# What old hosts have in common: a service without a container, and data for one.
set -eu
mkdir -p /opt/lab

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
