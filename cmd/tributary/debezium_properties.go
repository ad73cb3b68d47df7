package main

// The properties of Debezium's PostgreSQL connector 3.6.1.Final, as its own list of fields names them, with
// those
// that its topic naming, signalling and snapshot classes read, and Kafka Connect's. TestDebeziumProperties
// holds
// the list apart from these tables, so that none is passed over.

// allRules is every table of rules.
func allRules() []rule {
	var all []rule
	for _, table := range [][]rule{
		sourceRules, snapshotRules, recordRules, deliveryRules, operationRules,
		connectRules, converterRules,
	} {
		all = append(all, table...)
	}
	return all
}

const (
	noSnapshot = "describes how Debezium reads tables; tributary reads every table at the slot's own snapshot"
	noQueue    = "Debezium's queue; tributary bounds its memory by bytes: kafka.window_bytes, " +
		"kafka.window_records"
	noSignals = "tributary takes signals from signal.data.collection alone (channel source), and snapshots by " +
		"`tributary snapshot`"
	noChunks     = "rows are read in key order for as long as snapshot.pause allows at a time"
	noJava       = "names a Java class, which tributary cannot load"
	noJMX        = "JMX; tributary serves /metrics on http.listen"
	noLineage    = "OpenLineage events are not sent; /api/v1/status says what flows"
	noHandling   = "tributary never skips a change that it cannot process: it stops and names it"
	leaveDefault = "leave it out"
)

// sourceRules are about the connection, the slot, the publication and what is captured.
var sourceRules = []rule{
	{name: "database.hostname", verdict: mapped, apply: (*connector).hostname},
	{name: "database.port", verdict: mapped, apply: (*connector).port},
	{name: "database.user", verdict: mapped, apply: (*connector).user},
	{
		name: "database.password", verdict: mapped, apply: (*connector).setPassword,
		text: "is source.password_from; the JSON has it in clear, so prefer a file or the environment",
	},
	{name: "database.dbname", verdict: mapped, apply: (*connector).database},
	{name: "database.sslmode", verdict: mapped, apply: (*connector).sslMode},
	{name: "database.sslcert", verdict: mapped, apply: inURL("sslcert")},
	{name: "database.sslkey", verdict: mapped, apply: inURL("sslkey")},
	{name: "database.sslpassword", verdict: mapped, apply: inURL("sslpassword")},
	{name: "database.sslrootcert", verdict: mapped, apply: inURL("sslrootcert")},
	{
		name: "database.sslfactory", verdict: refused,
		text: noJava + ": say with database.sslmode and database.sslrootcert what is to be verified",
	},
	{
		name: "database.tcpKeepAlive", verdict: refused, fine: []string{"true"},
		text: "probes are always sent: " + leaveDefault,
	},
	{
		name: "database.initial.statements", verdict: refused, fine: []string{""},
		text: "set the session's defaults on the role: ALTER ROLE ... SET ...",
	},
	{
		name: "database.query.timeout.ms", verdict: ignored,
		text: "catalog queries end when the run does; long snapshots must not time out",
	},
	{name: "database.connection.factory.class", verdict: refused, text: noJava +
		": tokens are no part of this version yet, use a password"},
	{name: "database.exclude.list", verdict: ignored, text: "one connector reads one database, here as there"},
	{name: "database.include.list", verdict: ignored, text: "one connector reads one database, here as there"},
	{
		name: "connection.validation.timeout.ms", verdict: ignored,
		text: "the connection is checked by `check` and at start",
	},
	{name: "driver.*", verdict: refused, text: "a setting of the JDBC driver: put libpq's own parameters " +
		"into source.url"},
	{
		name: "plugin.name", verdict: refused, fine: []string{"pgoutput"},
		text: "tributary reads pgoutput only: make a new slot, as this one belongs to the other plugin",
	},
	{name: "slot.name", verdict: mapped, key: "source.slot"},
	{
		name: "slot.drop.on.stop", verdict: refused, fine: []string{"false"},
		text: "a dropped slot loses changes: drop it by SQL when the pipeline is no longer wanted",
	},
	{name: "slot.failover", verdict: mapped, key: "source.slot_failover"},
	{
		name: "slot.stream.params", verdict: refused, fine: []string{""},
		text: "pgoutput gets the parameters that tributary needs, none else",
	},
	{
		name: "slot.max.retries", verdict: ignored,
		text: "while the slot is busy tributary stands by, however long",
	},
	{
		name: "slot.retry.delay.ms", verdict: ignored,
		text: "while the slot is busy tributary stands by, asking with growing pauses",
	},
	{name: "publication.name", verdict: mapped, key: "source.publication"},
	{name: "publication.autocreate.mode", verdict: mapped, apply: (*connector).autocreate},
	{name: "publish.via.partition.root", verdict: mapped, key: "source.publish_via_root"},
	{name: "replica.identity.autoset.values", verdict: mapped, apply: (*connector).identities},
	{name: "xmin.fetch.interval.ms", verdict: mapped, key: "source.xmin_interval", convert: milliseconds},
	{name: "read.only", verdict: ignored, text: "tributary never writes to the source's tables"},
	{name: "schema.include.list", verdict: mapped, key: "source.schemas"},
	{name: "schema.exclude.list", verdict: mapped, key: "source.exclude_schemas"},
	{name: "table.include.list", verdict: mapped, key: "source.tables"},
	{name: "table.exclude.list", verdict: mapped, key: "source.exclude_tables"},
	{
		name: "table.ignore.builtin", verdict: refused, fine: []string{"true"},
		text: "system tables are in no publication",
	},
	{name: "column.include.list", verdict: mapped, key: "columns.include"},
	{name: "column.exclude.list", verdict: mapped, key: "columns.exclude"},
	{name: "message.key.columns", verdict: mapped, apply: (*connector).keyColumns},
	{name: "message.prefix.include.list", verdict: mapped, key: "messages.include"},
	{name: "message.prefix.exclude.list", verdict: mapped, key: "messages.exclude"},
	{
		name: "guardrail.collections.max", verdict: ignored,
		text: "`check` and the start log say how many tables are captured",
	},
	{
		name: "guardrail.collections.limit.action", verdict: ignored,
		text: "`check` and the start log say how many tables are captured",
	},
	{
		name: "schema.refresh.mode", verdict: ignored,
		text: "concerns decoderbufs; pgoutput sends each shape with its rows",
	},
	{
		name: "internal.slot.seek.to.known.offset.on.start", verdict: refused, fine: []string{"false"},
		text: "a slot is never moved past changes that were not published",
	},
	{
		name: "internal.create.slot.command.timeout", verdict: ignored,
		text: "while the slot's creation waits for open transactions, tributary names them",
	},
}

// snapshotRules are about reading the rows that were there before.
var snapshotRules = []rule{
	{name: "snapshot.mode", verdict: mapped, apply: (*connector).snapshotMode},
	{
		name: "snapshot.mode.configuration.based.*", verdict: refused, fine: []string{"false"},
		text: "choose one of snapshot.mode's own modes",
	},
	{name: "snapshot.mode.custom.name", verdict: refused, text: noJava},
	{name: "snapshot.isolation.mode", verdict: ignored, text: noSnapshot + ", repeatable read"},
	{
		name: "snapshot.locking.mode", verdict: refused, fine: []string{"none"},
		text: "a snapshot at the slot's consistent point needs no lock",
	},
	{name: "snapshot.locking.mode.custom.name", verdict: refused, text: noJava},
	{name: "snapshot.lock.timeout.ms", verdict: ignored, text: "nothing is locked"},
	{
		name: "snapshot.query.mode", verdict: refused, fine: []string{"select_all"},
		text: "all captured columns are read",
	},
	{name: "snapshot.query.mode.custom.name", verdict: refused, text: noJava},
	{name: "snapshot.include.collection.list", verdict: mapped, key: "snapshot.tables"},
	{
		name: "snapshot.select.statement.overrides", verdict: refused, fine: []string{""},
		text: "use a row filter or column list of the publication, which holds for snapshot and stream alike",
	},
	{
		name: "snapshot.select.statement.overrides.*", verdict: refused,
		text: "use a row filter or column list of the publication",
	},
	{name: "snapshot.fetch.size", verdict: ignored, text: "rows are streamed, not fetched in portions"},
	{name: "query.fetch.size", verdict: ignored, text: "rows are streamed, not fetched in portions"},
	{name: "snapshot.max.threads", verdict: mapped, key: "snapshot.workers"},
	{name: "snapshot.max.threads.multiplier*", verdict: ignored, text: "tables are divided by their size"},
	{name: "legacy.snapshot.max.threads", verdict: ignored, text: "tables are divided by their size"},
	{name: "internal.legacy.snapshot.max.threads", verdict: ignored, text: "tables are divided by their size"},
	{
		name: "snapshot.tables.order.by.row.count", verdict: refused, fine: []string{"disabled"},
		text: "tables are read in the order of their names, so that a crash resumes",
	},
	{name: "snapshot.delay.ms", verdict: ignored, text: "there are no rebalances to wait for"},
	{name: "streaming.delay.ms", verdict: ignored, text: "the end of a snapshot is stored with its rows"},
	{name: "internal.snapshot.scan.all.columns.force", verdict: ignored, text: noSnapshot},
	{name: "incremental.snapshot.chunk.size", verdict: ignored, text: noChunks},
	{name: "incremental.snapshot.*", verdict: ignored, text: noChunks},
	{name: "signal.data.collection", verdict: mapped, key: "snapshot.signal_table"},
	{name: "signal.enabled.channels", verdict: refused, fine: []string{"source", ""}, text: noSignals},
	{name: "signal.poll.interval.ms", verdict: ignored, text: noSignals},
	{name: "signal.emit.failure.*", verdict: ignored, text: noSignals},
	{name: "signal.kafka.*", verdict: ignored, text: noSignals},
	{name: "signal.consumer.*", verdict: ignored, text: noSignals},
	{name: "signal.file", verdict: ignored, text: noSignals},
}

// recordRules are about what the records hold.
var recordRules = []rule{
	{name: "topic.prefix", verdict: mapped, key: "topic.prefix"},
	{name: "topic.delimiter", verdict: mapped, key: "topic.delimiter"},
	{
		name: "topic.naming.strategy", verdict: refused,
		fine: []string{"io.debezium.schema.SchemaTopicNamingStrategy"},
		text: "rename topics by topic.routes, or here by the transform RegexRouter or ByLogicalTableRouter",
	},
	{name: "topic.regex", verdict: refused, text: "belongs to another topic.naming.strategy: use the " +
		"transform ByLogicalTableRouter"},
	{
		name: "topic.replacement", verdict: refused,
		text: "belongs to another topic.naming.strategy: use the transform ByLogicalTableRouter",
	},
	{name: "topic.key.*", verdict: refused, text: "belongs to another topic.naming.strategy: use the " +
		"transform ByLogicalTableRouter"},
	{name: "topic.cache.size", verdict: ignored, text: "every captured table's topic is known"},
	{name: "topic.transaction", verdict: mapped, key: "transactions.topic"},
	{name: "topic.heartbeat.prefix", verdict: mapped, key: "heartbeat.topic_prefix"},
	{name: "topic.heartbeat.name", verdict: mapped, key: "heartbeat.topic"},
	{name: "heartbeat.topics.prefix", verdict: mapped, key: "heartbeat.topic_prefix"},
	{name: "heartbeat.interval.ms", verdict: mapped, key: "heartbeat.interval", convert: milliseconds},
	{name: "heartbeat.action.query", verdict: mapped, key: "heartbeat.query"},
	{name: "provide.transaction.metadata", verdict: mapped, key: "transactions.metadata"},
	{
		name: "transaction.metadata.factory", verdict: refused,
		fine: []string{"io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory"}, text: noJava,
	},
	{
		name: "sourceinfo.struct.maker", verdict: refused,
		fine: []string{"io.debezium.connector.postgresql.PostgresSourceInfoStructMaker"}, text: noJava,
	},
	{name: "extended.headers.enabled", verdict: mapped, key: "context_headers"},
	{name: "tombstones.on.delete", verdict: mapped, key: "tombstones"},
	{name: "skipped.operations", verdict: mapped, apply: (*connector).skipped},
	{name: "skip.messages.without.change", verdict: mapped, key: "skip_unchanged"},
	{name: "decimal.handling.mode", verdict: mapped, key: "format.decimal", convert: lower},
	{name: "time.precision.mode", verdict: mapped, key: "format.time", convert: lower},
	{name: "interval.handling.mode", verdict: mapped, key: "format.interval", convert: lower},
	{name: "hstore.handling.mode", verdict: mapped, key: "format.hstore", convert: lower},
	{name: "binary.handling.mode", verdict: mapped, key: "format.binary", convert: underscored},
	{name: "money.fraction.digits", verdict: mapped, key: "format.money_fraction_digits"},
	{name: "include.unknown.datatypes", verdict: mapped, key: "format.unknown_types"},
	{name: "unavailable.value.placeholder", verdict: mapped, key: "format.unavailable_value_placeholder"},
	{name: "schema.name.adjustment.mode", verdict: mapped, key: "format.schema_names", convert: lower},
	{name: "field.name.adjustment.mode", verdict: mapped, key: "format.field_names", convert: lower},
	{
		name: "include.schema.comments", verdict: mapped, apply: (*connector).comments,
		text: "writes no comments, as Debezium reads none of PostgreSQL; format.comments does",
	},
	{name: "include.schema.changes", verdict: ignored, text: "has no effect for PostgreSQL"},
	{name: "column.propagate.source.type", verdict: mapped, key: "columns.source_types"},
	{name: "datatype.propagate.source.type", verdict: mapped, key: "columns.source_types_of"},
	{name: "column.truncate.to.*", verdict: mapped, apply: (*connector).columnRule, text: "is columns.rules"},
	{name: "column.mask.with.*", verdict: mapped, apply: (*connector).columnRule, text: "is columns.rules"},
	{name: "column.mask.hash.*", verdict: mapped, apply: (*connector).columnRule, text: "is columns.rules"},
	{name: "converters", verdict: refused, fine: []string{""}, text: noJava +
		": format chooses among the built-in forms"},
	{
		name: "post.processors", verdict: refused, fine: []string{""},
		text: noJava + ": for unchanged large values set REPLICA IDENTITY FULL",
	},
	{
		name: "event.converting.failure.handling.mode", verdict: refused, fine: []string{"warn", "skip"},
		text: "compatibility: native with unrepresentable: stop stops at a value that the schema cannot carry",
	},
	{name: "event.processing.failure.handling.mode", verdict: refused, fine: []string{"fail"}, text: noHandling},
}

// deliveryRules are about offsets, confirming and retrying.
var deliveryRules = []rule{
	{
		name: "lsn.flush.mode", verdict: refused, fine: []string{"connector", "connector_and_driver"},
		text: "tributary confirms what Kafka has, and an idle slot always advances",
	},
	{
		name: "flush.lsn.source", verdict: refused, fine: []string{"true"},
		text: "tributary confirms what Kafka has; a slot that is never confirmed fills the disk",
	},
	{name: "lsn.flush.timeout.ms", verdict: ignored, text: "confirming is one message without an answer"},
	{name: "lsn.flush.timeout.action", verdict: ignored, text: "confirming is one message without an answer"},
	{
		name: "status.update.interval.ms", verdict: ignored,
		text: "the server is answered every third of its wal_sender_timeout, and at each advance",
	},
	{
		name: "offset.mismatch.strategy", verdict: refused, fine: []string{"no_validation", "trust_offset"},
		text: "the stored position and the slot must agree; tributary stops and says the range in doubt",
	},
	{
		name: "internal.log.position.check.enable", verdict: refused, fine: []string{"true"},
		text: "the check is what finds lost changes",
	},
	{
		name: "errors.max.retries", verdict: ignored,
		text: "what may pass is tried again with growing pauses; the rest stops at once",
	},
	{
		name: "retriable.restart.connector.wait.ms", verdict: ignored,
		text: "what may pass is tried again with growing pauses",
	},
	{
		name: "internal.custom.retriable.exception", verdict: ignored,
		text: "errors say themselves whether trying again may help",
	},
	{name: "max.batch.size", verdict: ignored, text: noQueue},
	{name: "max.queue.size", verdict: ignored, text: noQueue},
	{name: "max.queue.size.in.bytes", verdict: ignored, text: noQueue},
	{name: "poll.interval.ms", verdict: ignored, text: noQueue},
	{name: "poll.dispatch.interval.ms", verdict: ignored, text: noQueue},
	{name: "queue.provider.type", verdict: ignored, text: noQueue},
	{name: "memory.management.*", verdict: ignored, text: "concerns Debezium's own memory"},
	{name: "executor.shutdown.timeout.ms", verdict: ignored, text: "SIGTERM finishes the window"},
}

// operationRules are about watching and governing.
var operationRules = []rule{
	{name: "custom.metric.tags", verdict: ignored, text: noJMX},
	{name: "statistics.metrics.enabled", verdict: ignored, text: noJMX},
	{name: "internal.advanced.metrics.enable", verdict: ignored, text: noJMX},
	{name: "custom.sanitize.pattern", verdict: ignored, text: "no secret is ever logged"},
	{
		name: "notification.enabled.channels", verdict: refused, fine: []string{"", "log", "jmx"},
		text: "notification topics are not written: /api/v1/status and the log tell a snapshot's progress",
	},
	{
		name: "notification.sink.topic.name", verdict: ignored,
		text: "/api/v1/status and the log tell a snapshot's progress",
	},
	{name: "openlineage.integration.enabled", verdict: refused, fine: []string{"false"}, text: noLineage},
	{name: "openlineage.integration.*", verdict: ignored, text: noLineage},
}

// connectRules are Kafka Connect's own properties of a source connector.
var connectRules = []rule{
	{name: "name", verdict: ignored, text: "Connect's own; --pipeline names the pipeline"},
	{
		name: "connector.class", verdict: refused, text: "not Debezium's PostgreSQL connector",
		fine: []string{
			"io.debezium.connector.postgresql.PostgresConnector", "PostgresConnector",
			"PostgresSourceConnector",
		},
	},
	{name: "connector.plugin.version", verdict: ignored, text: "Connect's own"},
	{name: "tasks.max", verdict: ignored, text: "there is one slot, and one reader of it"},
	{name: "tasks.max.enforce", verdict: ignored, text: "there is one slot, and one reader of it"},
	{name: "config.action.reload", verdict: ignored, text: "Connect's own"},
	{
		name: "header.converter", verdict: refused,
		fine: []string{"org.apache.kafka.connect.storage.SimpleHeaderConverter"},
		text: "headers are written as the SimpleHeaderConverter writes them",
	},
	{
		name: "header.converter.*", verdict: ignored,
		text: "headers are written as the SimpleHeaderConverter writes them",
	},
	{name: "errors.tolerance", verdict: refused, fine: []string{"none"}, text: noHandling},
	{name: "errors.retry.timeout", verdict: ignored, text: "Connect's own; there is no transform to retry"},
	{name: "errors.retry.delay.max.ms", verdict: ignored, text: "Connect's own; there is no transform to retry"},
	{name: "errors.log.enable", verdict: ignored, text: "errors are always logged"},
	{name: "errors.log.include.messages", verdict: ignored, text: "no row's value is ever logged"},
	{name: "exactly.once.support", verdict: mapped, apply: (*connector).exactlyOnce, text: "is delivery"},
	{name: "transaction.boundary", verdict: ignored, text: "windows follow Postgres's transactions"},
	{name: "transaction.boundary.interval.ms", verdict: ignored, text: "windows follow Postgres's transactions"},
	{name: "offsets.storage.topic", verdict: ignored, text: "positions are kept in kafka.position_topic"},
	{
		name: "topic.creation.groups", verdict: refused, fine: []string{""},
		text: "one group of settings holds for all topics; create others beforehand",
	},
	{
		name: "topic.creation.default.partitions", verdict: mapped, key: "topic.partitions",
		convert: brokerDefault,
	},
	{
		name: "topic.creation.default.replication.factor", verdict: mapped, key: "topic.replication_factor",
		convert: brokerDefault,
	},
	{
		name: "topic.creation.default.cleanup.policy", verdict: mapped, key: "topic.cleanup_policy",
		convert: withoutBlanks,
	},
	{
		name: "topic.creation.default.*", verdict: mapped, apply: (*connector).topicSetting,
		text: "is topic.config",
	},
	{
		name: "topic.creation.*", verdict: refused,
		text: "one group of settings holds for all topics; create others beforehand",
	},
	{name: "topic.creation.enable", verdict: mapped, key: "topic.create"},
	{name: "producer.override.compression.type", verdict: mapped, key: "kafka.compression", convert: lower},
	{name: "producer.override.linger.ms", verdict: mapped, key: "kafka.linger", convert: milliseconds},
	{name: "producer.override.client.id", verdict: mapped, key: "kafka.client_id"},
	{
		name: "producer.override.acks", verdict: refused, fine: []string{"all", "-1"},
		text: "less than all loses records",
	},
	{
		name: "producer.override.enable.idempotence", verdict: refused, fine: []string{"true"},
		text: "a producer that repeats records breaks their order",
	},
	{name: "producer.override.batch.size", verdict: ignored, text: noQueue},
	{name: "producer.override.buffer.memory", verdict: ignored, text: noQueue},
	{name: "producer.override.max.request.size", verdict: mapped, key: "kafka.max_record_bytes"},
	{
		name: "producer.override.*", verdict: refused,
		text: "say it under kafka: brokers, tls, auth, compression, linger",
	},
	{name: "consumer.override.*", verdict: ignored, text: "nothing is consumed but the position"},
	{
		name: "admin.override.*", verdict: ignored,
		text: "topics are made with the connection that kafka describes",
	},
}
