#!/bin/sh
# Makes the roles and databases of both services; the image of PostgreSQL runs it once, on an
# empty volume. The roles come from the services' own roles.sql, the passwords from files.
set -eu
directory=${CASINO_DIRECTORY:-/run/casino}

run() {
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres "$@"
}

for service in loyalty ratingslip; do
    run --file "$directory/sql/$service/roles.sql"
    for role in "${service}_owner" "${service}_service"; do
        # psql reads the file and quotes it, so that nothing of it stands in a process list.
        {
            printf '\\set password `cat "%s/passwords/%s.password"`\n' "$directory" "$role"
            printf "ALTER ROLE %s PASSWORD :'password';\n" "$role"
        } | run
    done
    run --command "CREATE DATABASE $service OWNER ${service}_owner" \
        --command "REVOKE ALL ON DATABASE $service FROM PUBLIC" \
        --command "GRANT CONNECT ON DATABASE $service TO ${service}_service"
done
