CREATE TABLE t (id int PRIMARY KEY, d date, s timestamp, s3 timestamp(3), z timestamptz, t time, tt timetz);
