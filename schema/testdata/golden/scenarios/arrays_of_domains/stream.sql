INSERT INTO a SELECT 2, d, dt, dn, p, f, f1, mo, nm, iv, vb, xm, po, ts, tz, l, bx, req, 2 FROM a;
INSERT INTO a (id, req) VALUES (3, '(,)');
DELETE FROM a WHERE id = 1;
