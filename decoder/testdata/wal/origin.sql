-- A transaction that was applied from another server, between two of our own.
CREATE TABLE t (id int PRIMARY KEY);
SELECT pg_replication_origin_create('tributary_capture');
-- stream
INSERT INTO t VALUES (1);
-- session apply
SELECT pg_replication_origin_session_setup('tributary_capture');
BEGIN;
SELECT pg_replication_origin_xact_setup('AB/CDEF0123', '2020-01-01 00:00:00+00');
INSERT INTO t VALUES (2);
COMMIT;
SELECT pg_replication_origin_session_reset();
-- session main
INSERT INTO t VALUES (3);
-- teardown
SELECT pg_replication_origin_drop('tributary_capture');
