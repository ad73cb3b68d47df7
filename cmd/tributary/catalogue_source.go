package main

// sourceEntries are what can be wrong at the source: E1, W1 and I1.
var sourceEntries = []entry{
	{
		"E101", "The name of the database server is not known.",
		"DNS has no address for the host of source.url, where tributary runs.",
		"getent hosts HOST   # here and in the pod's network; then mend source.url",
	},
	{
		"E102", "The database server does not answer on its port.",
		"Nothing listens there, or a firewall, a security group or a route drops the packets.",
		"nc -vz HOST PORT   # then start the server, open the port, or mend source.url",
	},
	{
		"E103", "The certificate of the database server is not accepted.",
		"It has expired, names another host, or is signed by a CA that is not trusted here (RDS has its own).",
		"openssl s_client -starttls postgres -connect HOST:PORT </dev/null | openssl x509 -noout -dates -issuer" +
			"   # its CA: ?sslmode=verify-full&sslrootcert=FILE in source.url",
	},
	{
		"E104", "The database server speaks no TLS.",
		"source.url asks for TLS, as it does by default for a server on another machine.",
		"ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf();   -- or ?sslmode=disable, without it",
	},
	{
		"E105", "The database server refuses the user or the password.",
		"The password was changed, or source.password_from holds another one.",
		"ALTER ROLE cdc PASSWORD '...';   -- then the same into what source.password_from names",
	},
	{
		"E106", "pg_hba.conf has no line for this connection.",
		"The server allows who may connect from where, with and without TLS, line by line.",
		"hostssl DATABASE ROLE ADDRESS scram-sha-256   # into pg_hba.conf; then SELECT pg_reload_conf();",
	},
	{
		"E107", "The database does not exist.",
		"source.url names a database that the server has not.",
		"psql -c 'SELECT datname FROM pg_database'   # then mend the path of source.url",
	},
	{
		"E108", "The connection to the database server broke.",
		"The network, a proxy or the server ended it. run connects again by itself.",
		"nc -vz HOST PORT   # and the server's log of that minute",
	},
	{
		"E109", "The database server is shutting down or starting.",
		"It restarts or fails over. run waits and connects again by itself.",
		"pg_isready -h HOST -p PORT   # until it accepts connections",
	},
	{
		"E110", "The database server has no connection left.",
		"max_connections, or the limit of the role or the database, is reached. run tries again by itself.",
		"SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC;",
	},
	{
		"E111", "The role lacks a right.",
		"The server's words name the object.",
		"GRANT SELECT ON TABLE TO cdc;   -- or whatever the server's words name",
	},
	{
		"E112", "The database server writes no logical changes: wal_level is not logical.",
		"Postgres writes what replication slots need only with wal_level = logical.",
		"ALTER SYSTEM SET wal_level = logical;   -- then restart; on RDS rds.logical_replication = 1 and reboot",
	},
	{
		"E113", "The role may not replicate.",
		"It lacks the attribute REPLICATION, on RDS membership in rds_replication.",
		"ALTER ROLE cdc REPLICATION;   -- as a superuser; on RDS: GRANT rds_replication TO cdc;",
	},
	{
		"E114", "A pooler stands between tributary and the database server.",
		"PgBouncer and RDS Proxy pass no replication connection, and drop settings that the stream depends on.",
		"psql 'host=HOST port=5432 dbname=DATABASE user=cdc replication=database' -c IDENTIFY_SYSTEM" +
			"   # must answer: put the server's own address into source.url",
	},
	{
		"E115", "No replication slot is free.",
		"max_replication_slots are in use; tributary needs one, and one more for replay.",
		"SELECT slot_name, active, restart_lsn FROM pg_replication_slots;   -- drop what nothing needs, or raise " +
			"max_replication_slots and restart",
	},
	{
		"E116", "No walsender is free.",
		"max_wal_senders are in use by other replication connections.",
		"ALTER SYSTEM SET max_wal_senders = 20;   -- then restart the server",
	},
	{
		"E118", "The address leads to more than one server.",
		"A reader endpoint, a load balancer or a pooler answers: a slot lives on one server only.",
		"SELECT inet_server_addr(), pg_is_in_recovery();   -- put the writer's own address into source.url",
	},
	{
		"E119", "The database server refuses.",
		"Its own words and SQLSTATE say what.",
		"SELECT version();   -- and look the SQLSTATE up in appendix A of Postgres's manual",
	},
	{
		"E120", "The database server is too old.",
		"Before PostgreSQL 13 a server tells too little of its slots and publications.",
		"SHOW server_version;   -- then upgrade: a major upgrade ends every slot, so snapshot anew after it",
	},
	{
		"E121", "The replication slot does not exist.",
		"It was dropped, or lost in a failover. What committed since it was last read may be lost.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E122", "The replication slot is lost: its WAL was removed.",
		"The slot fell behind by more than max_slot_wal_keep_size, or was invalidated. The changes after its " +
			"last position are in no stream.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E123", "Another session reads from the replication slot.",
		"Another instance leads; run stands by and takes over when the slot is free.",
		"SELECT pid, application_name, client_addr FROM pg_stat_activity WHERE pid = (SELECT active_pid FROM " +
			"pg_replication_slots WHERE slot_name = 'SLOT');",
	},
	{
		"E124", "The replication slot belongs to something else.",
		"It has another plugin, another database or another kind than a pipeline can read.",
		"tributary slots list   # then another name in source.slot",
	},
	{
		"E125", "The publication did not exist when the changes were written.",
		"Changes are decoded with the catalog of their own time: the publication was dropped, or made after " +
			"the slot.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E131", "The publication does not exist.",
		"The server sends only what a publication names; it must be there before the slot.",
		"CREATE PUBLICATION NAME FOR TABLE ...;   -- as the tables' owner",
	},
	{
		"E132", "A captured table is not in the publication.",
		"Its changes would not come.",
		"ALTER PUBLICATION NAME ADD TABLE ...;   -- as the table's owner",
	},
	{
		"E133", "The publication leaves out kinds of changes.",
		"Its option publish names only some of insert, update, delete and truncate.",
		"ALTER PUBLICATION NAME SET (publish = 'insert, update, delete, truncate');",
	},
	{
		"E134", "A table has neither a primary key nor a replica identity.",
		"Once it is published, Postgres refuses updates and deletes of its rows.",
		"ALTER TABLE NAME ADD PRIMARY KEY (COLUMN);   -- or: ALTER TABLE NAME REPLICA IDENTITY FULL;",
	},
	{
		"E135", "source.tables matches no table.",
		"A name is misspelt, or the role cannot see the schema, or only a view is called so.",
		`\dt *.*   -- in psql; source.tables names them as schema.table`,
	},
	{
		"E136", "Row security hides rows from the snapshot.",
		"The stream carries every row, but SELECT only those that a policy allows to the role.",
		"ALTER ROLE cdc BYPASSRLS;   -- as a superuser",
	},
	{
		"E137", "The role may not read a captured table.",
		"The snapshot needs SELECT; the stream does not.",
		"GRANT USAGE ON SCHEMA public TO cdc; GRANT SELECT ON TABLE TO cdc;",
	},
	{
		"E138", "RDS takes IAM tokens for sessions, and not for replication.",
		"rds.iam_auth_for_replication is off in the parameter group, so the stream cannot log in.",
		"aws rds modify-db-parameter-group --db-parameter-group-name NAME --parameters " +
			"ParameterName=rds.iam_auth_for_replication,ParameterValue=1,ApplyMethod=immediate",
	},
	{
		"E151", "A value has no form under its column's schema.",
		"Such as NaN in a Decimal, or a timestamp that a long cannot hold.",
		"tributary run --unrepresentable null   # or the format that the error names",
	},
	{
		"E152", "A row is larger than the limit.",
		"One change of it is larger than source.max_row_bytes, which bounds memory.",
		"tributary run --source-max-row-bytes 256MiB   # or leave the column out of the publication",
	},
	{
		"E153", "A change comes without its key.",
		"The replica identity lacks a column of the key.",
		"ALTER TABLE NAME REPLICA IDENTITY FULL;",
	},
	{
		"E154", "The database server refuses to read a table for the snapshot.",
		"Its own words and SQLSTATE say what; it was often dropped or altered meanwhile.",
		`\d NAME   -- in psql, as the role of source.url`,
	},
	{
		"E155", "The snapshot is lost.",
		"The session that held it is gone. run takes a new one by itself.",
		"SELECT * FROM pg_stat_activity WHERE application_name LIKE 'tributary/%';   -- who ends its sessions?",
	},
	{
		"E156", "Transactions do not end, and a snapshot must wait for them.",
		"A commit waits for a synchronous standby. Reading before could destroy rows in the source.",
		"SELECT pid, wait_event FROM pg_stat_activity WHERE wait_event = 'SyncRep';   -- mend the standby",
	},
	{
		"E157", "A table was rewritten while its snapshot was due.",
		"ALTER TABLE, TRUNCATE, VACUUM FULL or CLUSTER. run reads it again under a new snapshot.",
		"tributary status   # shows the new snapshot",
	},
	{
		"E158", "A row is larger than Postgres can send.",
		"It stores what it cannot send: text of 1 GiB, or half as much of bytea, in all columns together.",
		"SELECT ctid FROM NAME WHERE octet_length(COLUMN) > 250000000;   -- shrink it, then snapshot --repair",
	},
	{
		"W117", "The server is a standby.",
		"Slots on a standby need PostgreSQL 16, and end when a conflict removes them.",
		"SELECT pg_is_in_recovery();   -- put the primary's address into source.url",
	},
	{
		"W126", "The slot's WAL may be removed at the next checkpoint.",
		"It is further behind than max_slot_wal_keep_size.",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();",
	},
	{
		"W127", "A slot that nothing reads keeps WAL.",
		"Postgres keeps WAL for every slot until its disk is full.",
		"tributary slots drop NAME   # or SELECT pg_drop_replication_slot('NAME');",
	},
	{
		"W128", "The anchor slot is lost.",
		"It fell behind max_slot_wal_keep_size. run makes it anew; nothing older can be replayed.",
		"replay: {keep: 256MiB}   # or a larger max_slot_wal_keep_size",
	},
	{
		"W129", "No replication slot is left for the anchor.",
		"Without it replay and rewind are not possible.",
		"ALTER SYSTEM SET max_replication_slots = 20;   -- then restart the server",
	},
	{
		"W130", "The slot is in use.",
		"Another instance leads, and a second one stands by until the slot is free.",
		"tributary status   # of the instance that leads",
	},
	{
		"I131", "The publication does not exist yet.",
		"run makes it, since the role owns the tables and each is named.",
		"CREATE PUBLICATION NAME FOR TABLE ...;   -- as the tables' owner",
	},
	{
		"W141", "The publication treats partitions otherwise than configured.",
		"It decides whether their changes come under their own names or under the root's.",
		"ALTER PUBLICATION NAME SET (publish_via_partition_root = true);   -- or source.publish_via_root",
	},
	{
		"W142", "The publication sends only some rows of a table.",
		"It has a row filter.",
		"ALTER PUBLICATION NAME SET TABLE ...;   -- without WHERE, if every row is wanted",
	},
	{
		"W143", "The publication leaves out columns of a table.",
		"It has a column list.",
		"ALTER PUBLICATION NAME SET TABLE ...;   -- without the list, if every column is wanted",
	},
	{
		"W144", "The replica identity is another index than the primary key.",
		"Records are keyed by the one, and consumers may expect the other.",
		"ALTER TABLE NAME REPLICA IDENTITY DEFAULT;",
	},
	{
		"W145", "A table has no key.",
		"Its records have none, so no consumer can fold them, and a crash in its snapshot reads it again.",
		"ALTER TABLE NAME ADD PRIMARY KEY (COLUMN);",
	},
	{
		"W146", "A later snapshot of a table holds the stream.",
		"It has no unique key to be read by in parts.",
		"ALTER TABLE NAME ADD PRIMARY KEY (COLUMN);",
	},
	{
		"W147", "A truncate has no order against the rows.",
		"Its record has no key, and the topic several partitions.",
		"topic: {partitions: 1}   # or skipped_operations: [t]",
	},
	{
		"I148", "A relation is not captured.",
		"It has no changes of its own: a view, a foreign, temporary or unlogged table, or a partition whose " +
			"changes come otherwise.",
		"ALTER TABLE NAME SET LOGGED;   -- where it is unlogged",
	},
	{
		"I149", "Updates and deletes carry the old row as its key only.",
		"The replica identity is DEFAULT or an index: large values that an update leaves alone are not sent " +
			"either, and stand as a placeholder.",
		"ALTER TABLE NAME REPLICA IDENTITY FULL;   -- where consumers need the row as it was; it costs WAL",
	},
	{
		"I150", "A column has a type without a form, and is left out.",
		"Neither Debezium nor tributary writes it by default.",
		"format: {unknown_types: true}   # writes its text",
	},
	{
		"W151", "The server keeps WAL for the slot without limit.",
		"While tributary is stopped, the slot may fill the server's disk.",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();   -- what the disk can spare",
	},
	{
		"W152", "A transaction has been open for long.",
		"Creating a slot waits for it to end, and the slot's WAL stays until it does.",
		"SELECT pid, usename, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start;",
	},
	{
		"W153", "A prepared transaction has been waiting for long.",
		"Creating a slot waits for it to be committed or rolled back.",
		"SELECT gid, prepared, owner FROM pg_prepared_xacts ORDER BY prepared;   -- then ROLLBACK PREPARED 'GID';",
	},
	{
		"W154", "The server lacks fixes that matter here.",
		"A minor release repairs a fault of logical decoding.",
		"SELECT version();   -- then install the newest minor release and restart",
	},
	{
		"W156", "The clocks of the server and of this machine differ.",
		"Lag in seconds is off by as much.",
		"timedatectl timesync-status   # here; on the server the same",
	},
	{
		"W157", "The connection to the database server is not verified.",
		"sslmode is weaker than verify-full: whoever stands between may read and change everything.",
		"?sslmode=verify-full&sslrootcert=FILE   # in source.url",
	},
	{
		"W158", "The publication changed after the slot's horizon.",
		"Changes are decoded with the catalog of their own time: those written before it was made are refused.",
		"tributary slots drop SLOT   # where the slot is new and nothing was read from it yet",
	},
	{
		"I159", "A table was never analysed.",
		"How many rows it has, and so how long its snapshot takes, is unknown.",
		"ANALYZE NAME;",
	},
	{
		"I155", "The server decodes in less memory than by default.",
		"What a transaction changes beyond logical_decoding_work_mem is written to the server's disk and read " +
			"again.",
		"ALTER SYSTEM SET logical_decoding_work_mem = '256MB'; SELECT pg_reload_conf();",
	},
	{
		"I160", "A generated column is left out.",
		"Postgres computes it from the others, and sends a stored one from 18 on, when the publication says so.",
		"ALTER PUBLICATION NAME SET (publish_generated_columns = stored);   -- PostgreSQL 18",
	},
	{
		"W161", "The certificate of the database server expires soon.",
		"Once it has, no connection is made any more.",
		"openssl s_client -starttls postgres -connect HOST:PORT </dev/null | openssl x509 -noout -dates",
	},
}
