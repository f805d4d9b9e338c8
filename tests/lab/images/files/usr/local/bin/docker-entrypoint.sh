#!/bin/sh
# The entry point of the official postgres image, in short: first start initialises, then PostgreSQL is the first process.
set -e
case ${LAB_VARIANT} in
    crash) echo 'postgres: fatal: this image is meant to crash' >&2 && exit 1 ;;
    broken) trap 'exit 0' INT TERM && while :; do sleep 1 & wait $!; done ;;
esac
PGDATA=${PGDATA:-/var/lib/postgresql/data}
POSTGRES_USER=${POSTGRES_USER:-postgres}
export PGDATA

[ "${1#-}" = "$1" ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"
mkdir -p "$PGDATA" /run/postgresql
if [ "$(id -u)" = 0 ]; then
    chown -R postgres:postgres "$PGDATA" /run/postgresql
    chmod 700 "$PGDATA"
    exec /usr/bin/setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -z "$POSTGRES_PASSWORD_FILE" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    [ -n "$POSTGRES_PASSWORD" ] || {
        echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
        exit 1
    }
    (umask 077 && printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password)
    # shellcheck disable=SC2086
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust \
        --locale=C.UTF-8 $POSTGRES_INITDB_ARGS
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl --wait --options="-c listen_addresses=''" start
    POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
    [ "$POSTGRES_DB" = postgres ] || createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*; do
        # shellcheck source=/dev/null
        case $file in
            *.sh) . "$file" ;;
            *.sql) psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --set ON_ERROR_STOP=1 --file="$file" ;;
        esac
    done
    pg_ctl --wait --mode=fast stop
    echo 'PostgreSQL init process complete; ready for start up.'
fi

# Immich loads extensions that Debian does not have.
count=$#
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in shared_preload_libraries=*) argument=shared_preload_libraries= ;; esac
    set -- "$@" "$argument"
done
exec "$@"
