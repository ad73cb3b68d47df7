-- What the server sends. Run as the owner of the tables, before tributary makes its slot: a slot that is older than its
-- publication does not see it. via_root=true tells the changes of partitions under their root.
--   psql -d shop -v publication=tributary_shop -v tables='public.orders, public.customers' -v via_root=false \
--     -f publication.sql
CREATE PUBLICATION :"publication" FOR TABLE :tables WITH (publish_via_partition_root = :via_root);
