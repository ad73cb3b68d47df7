-- What the role may read, and it is all that it may: the snapshot needs SELECT, the stream needs no grant.
-- Run as the owner of the tables, in their database.
--   psql -d shop -v role=cdc -v database=shop -v schemas=public -v tables='public.orders, public.customers' -f grants.sql
GRANT CONNECT ON DATABASE :"database" TO :"role";
GRANT USAGE ON SCHEMA :schemas TO :"role";
GRANT SELECT ON TABLE :tables TO :"role";
