CREATE TABLE u (id varchar(20) PRIMARY KEY, a varchar(8), b text, c varchar(200), d char(10), e varchar(5) DEFAULT 'e', f text NOT NULL DEFAULT 'f', g varchar(4) DEFAULT 'gggg', h char(6), i text);
INSERT INTO u VALUES ('key1', 'aaa', 'bbb', 'ccc', 'ddd', 'eee', 'fff', 'gggg', 'hhh', repeat('i', 100)), ('key2', '', NULL, 'ü😀', NULL, NULL, '', NULL, '', 'short');
