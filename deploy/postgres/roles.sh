#!/bin/sh
# Runs once, when PostgreSQL makes its data: the application's role is no superuser and does not own the database.
# So it can make tables (migrations, partitions of events), and cannot touch what belongs to another role.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --set=password="$FLAGSHIP_PASSWORD" <<'SQL'
CREATE ROLE flagship LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
GRANT CREATE, TEMPORARY ON DATABASE flagship TO flagship;
GRANT USAGE, CREATE ON SCHEMA public TO flagship;
SQL
