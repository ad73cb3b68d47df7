-- Rows of one statement written as one WAL record share its LSN.
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE z ();
-- stream
COPY t FROM PROGRAM 'printf "1\tone\n2\ttwo\n3\t\\N\n4\t\n"';
INSERT INTO z DEFAULT VALUES;
INSERT INTO t SELECT n, 'row ' || n FROM generate_series(10, 12) n;
