INSERT INTO t SELECT id + 10, m, mn, n, v FROM t;
DELETE FROM t WHERE id = 1;
