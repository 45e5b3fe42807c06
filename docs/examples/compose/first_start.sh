#!/bin/sh
# Patroni runs this once, on the first leader, with a connection string of the superuser as its argument.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$APP_PASSWORD" --dbname="$1" <<'SQL'
CREATE ROLE app LOGIN PASSWORD :'password';
GRANT pg_monitor TO app;
CREATE DATABASE app OWNER app;
\connect app
CREATE EXTENSION vector;
-- So that a search in one namespace finds as many entries as it asks for among those of others, whoever logs in.
ALTER ROLE app SET hnsw.ef_search = 200;
ALTER ROLE app SET hnsw.iterative_scan = 'strict_order';
SQL
