INSERT INTO t SELECT 2, p, f, c, i, b, ci, l, ls, pa, po, lsn, rc, x, t, jp, nm, mo, 2 FROM t;
INSERT INTO t (id, p) VALUES (3, '(,)');
DELETE FROM t WHERE id = 1;
