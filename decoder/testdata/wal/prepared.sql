-- A prepared transaction arrives when it is committed, with the LSNs of rows that are older than those before.
-- needs max_prepared_transactions
CREATE TABLE t (id int PRIMARY KEY);
-- stream
BEGIN;
INSERT INTO t VALUES (1);
PREPARE TRANSACTION 'tributary_capture_one';
BEGIN;
INSERT INTO t VALUES (9);
PREPARE TRANSACTION 'tributary_capture_two';
INSERT INTO t VALUES (2);
COMMIT PREPARED 'tributary_capture_one';
ROLLBACK PREPARED 'tributary_capture_two';
INSERT INTO t VALUES (3);
