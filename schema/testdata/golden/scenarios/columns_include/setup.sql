CREATE TABLE t (id int PRIMARY KEY, v text, w int NOT NULL DEFAULT 3); CREATE TABLE u (id int PRIMARY KEY, a int, b text, c text); CREATE TABLE k (id int PRIMARY KEY, v text); CREATE TABLE none (id int PRIMARY KEY, z int);
INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (1, 1, 'b', 'c'); INSERT INTO k VALUES (1, 'v'); INSERT INTO none VALUES (1, 1);
