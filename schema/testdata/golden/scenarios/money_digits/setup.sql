CREATE TABLE t (id int PRIMARY KEY, m money, mn money NOT NULL, n numeric(3,0), v numeric);
INSERT INTO t VALUES (1, 1234567.89, -0.51, 1, 100), (2, 0.5, 1.49, -999, 0.10);
