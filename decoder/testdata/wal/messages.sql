-- Logical messages: in a transaction, outside of one, empty, and between rows.
-- min 14
CREATE TABLE t (id int PRIMARY KEY);
-- stream
INSERT INTO t VALUES (1);
SELECT pg_logical_emit_message(false, 'note', 'outside');
SELECT pg_logical_emit_message(true, 'audit', 'inside');
BEGIN;
INSERT INTO t VALUES (2);
SELECT pg_logical_emit_message(false, 'note', 'sent at once');
SELECT pg_logical_emit_message(true, 'audit', '\x00ff'::bytea);
INSERT INTO t VALUES (3);
SELECT pg_logical_emit_message(true, '', '');
COMMIT;
BEGIN;
SELECT pg_logical_emit_message(false, 'note', 'of a transaction that rolls back');
SELECT pg_logical_emit_message(true, 'audit', 'never sent');
ROLLBACK;
INSERT INTO t VALUES (4);
