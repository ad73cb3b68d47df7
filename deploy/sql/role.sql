-- The role that tributary connects as, on a server of your own. Run once, as a superuser.
--   psql -v role=cdc -f role.sql
-- No password stands here: psql's \password asks for it and sends only its hash. In pg_hba.conf give the role a line for
-- the database (hostssl shop cdc 10.0.0.0/8 scram-sha-256) and none for replication, which would allow base backups.
CREATE ROLE :"role" LOGIN REPLICATION CONNECTION LIMIT 20;
-- Then \password.
