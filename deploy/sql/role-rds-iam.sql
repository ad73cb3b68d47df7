-- A login by IAM token instead of a password: run once more on RDS, after role-rds.sql.
--   psql -v role=cdc -f role-rds-iam.sql
-- A role with rds_iam has no other way to log in. Replication by token needs rds.iam_auth_for_replication = 1 too.
GRANT rds_iam TO :"role";
