CREATE TABLE t (id int PRIMARY KEY, m money, mn money NOT NULL, md money DEFAULT 1.5, n numeric, n0 numeric(5), n2 numeric(7,2) DEFAULT 1.5, nn numeric NOT NULL DEFAULT 7, nf numeric(6,3) DEFAULT random());
INSERT INTO t VALUES (1, 1234567.89, -0.01, NULL, 1e20, 5, NULL, 1, 1.5), (2, -92233720368547758.08, 92233720368547758.07, 0, -1e-20, -5, 0, 0, 0);
