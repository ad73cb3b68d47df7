INSERT INTO t SELECT id + 10, i, iy, id2, i0, n, f, nd FROM t;
DELETE FROM t WHERE id = 1;
