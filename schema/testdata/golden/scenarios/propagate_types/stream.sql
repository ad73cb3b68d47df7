INSERT INTO p (id, v2, p2) VALUES (2, 2.5, '(1,2)');
