CREATE TABLE k (a date, b time, c timestamp, d bytea, PRIMARY KEY (a, b, c, d));
INSERT INTO k VALUES ('2024-02-29', '10:20:30.5', '2024-02-29 10:20:30.5', '\x00ff');
