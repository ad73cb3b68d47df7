-- Takes everything away again: stop tributary first, for a slot in use cannot be dropped. The slots go before all else,
-- since a slot that nobody reads keeps WAL until the disk is full. Run as a superuser, on RDS as the master user.
--   psql -d shop -v role=cdc -v database=shop -v schemas=public -v tables='public.orders, public.customers' \
--     -v publication=tributary_shop -v slot=tributary_shop -f teardown.sql
SELECT slot_name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name IN (
  SELECT left(:'slot', 63 - length(suffix)) || suffix
  FROM unnest(ARRAY['', '_anchor', '_rewind', '_replay', '_scan', '_snapshot']) AS suffix)
ORDER BY slot_name;
DROP PUBLICATION IF EXISTS :"publication";
REVOKE ALL ON TABLE :tables FROM :"role";
REVOKE ALL ON SCHEMA :schemas FROM :"role";
REVOKE ALL ON DATABASE :"database" FROM :"role";
DROP ROLE :"role";
