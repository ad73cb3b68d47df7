-- Transactions that overlap, savepoints, a rollback: commit order, and LSNs of rows that run backwards.
CREATE TABLE t (id int PRIMARY KEY, v text);
-- stream
-- session one
BEGIN;
INSERT INTO t VALUES (1, 'first written, second committed');
-- session two
BEGIN;
INSERT INTO t VALUES (2, 'first committed');
SAVEPOINT a;
INSERT INTO t VALUES (3, 'rolled back to savepoint');
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO t VALUES (4, 'savepoint kept');
COMMIT;
-- session three
BEGIN;
INSERT INTO t VALUES (5, 'rolled back');
ROLLBACK;
-- session one
INSERT INTO t VALUES (6, 'last');
COMMIT;
