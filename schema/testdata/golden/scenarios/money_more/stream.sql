INSERT INTO t SELECT id + 10, m, mn, md, n, n0, n2, nn, nf FROM t;
INSERT INTO t (id, mn, n, nf) VALUES (20, 0, 'NaN', 1);
DELETE FROM t WHERE id = 1;
