CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text); CREATE TABLE w (k text, id int, v text, PRIMARY KEY (id, k)); CREATE TABLE ok (id int PRIMARY KEY);
INSERT INTO t VALUES (7, 'a'), (8, 'b'); INSERT INTO u VALUES (7, 'a'), (8, 'b'); INSERT INTO w VALUES ('k', 7, 'a'); INSERT INTO ok VALUES (1);
