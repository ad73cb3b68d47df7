-- Is everything in place? Run as tributary's own role, in the source database; it changes nothing. Each line that is not
-- ok says what is missing. tributary check asks the same and more, from where tributary will run.
--   psql -U cdc -d shop -v publication=tributary_shop -v slot=tributary_shop -f verify.sql
SELECT what, ok, found FROM (
  SELECT 1 AS n, 'wal_level is logical' AS what, setting = 'logical' AS ok, setting AS found
  FROM pg_settings WHERE name = 'wal_level'
  UNION ALL
  SELECT 2, 'the role may replicate', rolreplication OR rolsuper OR EXISTS (
      SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
      WHERE g.rolname = 'rds_replication' AND m.member = r.oid), rolname
  FROM pg_roles r WHERE rolname = current_user
  UNION ALL
  SELECT 3, 'a replication slot is free or there', count(*) < current_setting('max_replication_slots')::int
      OR coalesce(bool_or(slot_name = :'slot'), false), count(*) || ' of ' || current_setting('max_replication_slots') || ' used'
  FROM pg_replication_slots
  UNION ALL
  SELECT 4, 'the slot, if it is there, still has its WAL', coalesce(bool_and(wal_status <> 'lost'), true),
      coalesce(min(wal_status), 'no slot yet')
  FROM pg_replication_slots WHERE slot_name = :'slot'
  UNION ALL
  SELECT 5, 'WAL kept for a stopped slot has a limit', setting <> '-1', setting || ' MB'
  FROM pg_settings WHERE name = 'max_slot_wal_keep_size'
  UNION ALL
  SELECT 6, 'the publication is there', count(*) = 1, count(*)::text
  FROM pg_publication WHERE pubname = :'publication'
  UNION ALL
  SELECT 7, 'it has tables', count(*) > 0, count(*)::text
  FROM pg_publication_tables WHERE pubname = :'publication'
  UNION ALL
  SELECT 8, format('%I.%I can be read', schemaname, tablename),
      has_schema_privilege(schemaname, 'USAGE')
      AND has_table_privilege(format('%I.%I', schemaname, tablename)::regclass::oid, 'SELECT'), ''
  FROM pg_publication_tables WHERE pubname = :'publication'
  UNION ALL
  SELECT 9, format('%I.%I has a key to tell updates and deletes by', schemaname, tablename),
      c.relreplident = 'f' OR EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid
        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END),
      'replica identity ' || c.relreplident::text
  FROM pg_publication_tables p JOIN pg_namespace s ON s.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = p.tablename
  WHERE pubname = :'publication'
  UNION ALL
  SELECT 10, format('%I.%I hides no rows', schemaname, tablename), NOT c.relrowsecurity OR r.rolbypassrls OR r.rolsuper,
      CASE WHEN c.relrowsecurity THEN 'row security is on' ELSE '' END
  FROM pg_publication_tables p JOIN pg_namespace s ON s.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = p.tablename
  JOIN pg_roles r ON r.rolname = current_user
  WHERE pubname = :'publication'
) checks ORDER BY n, what;
