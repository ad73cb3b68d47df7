-- The same role on Amazon RDS and Aurora, where nobody may give REPLICATION. Run once, as the master user.
--   psql -v role=cdc -f role-rds.sql
-- The parameter group must say rds.logical_replication = 1, and the instance have been rebooted since.
CREATE ROLE :"role" LOGIN CONNECTION LIMIT 20;
GRANT rds_replication TO :"role";
-- Then \password, or for source.auth: rds_iam the statement of role-rds-iam.sql.
