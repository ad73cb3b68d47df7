BEGIN; SELECT pg_logical_emit_message(true, 'a', 'one'); INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'a', 'two'); INSERT INTO t VALUES (2); SELECT pg_logical_emit_message(true, 'b', 'three'); COMMIT;
INSERT INTO t VALUES (3);
SELECT pg_logical_emit_message(false, 'a', 'alone');
INSERT INTO t VALUES (4);
