INSERT INTO a SELECT id+10, i, t, n, ts, b FROM a;
