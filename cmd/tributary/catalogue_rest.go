package main

// kafkaEntries are what can be wrong at Kafka: E2 and W2.
var kafkaEntries = []entry{
	{
		"E201", "The name of a Kafka broker is not known.",
		"DNS has no address for it where tributary runs. Kafka tells clients its brokers' names itself: " +
			"advertised.listeners.",
		"getent hosts BROKER   # here and in the pod's network",
	},
	{
		"E202", "A Kafka broker does not answer on its port.",
		"Nothing listens there, or a firewall, a security group or a route drops the packets.",
		"nc -vz BROKER PORT   # then mend kafka.brokers",
	},
	{
		"E203", "The TLS of the Kafka broker is not accepted.",
		"Its certificate has expired, names another host or is signed by a CA that is not trusted here; or the " +
			"port speaks no TLS.",
		"openssl s_client -connect BROKER:PORT </dev/null | openssl x509 -noout -dates -issuer" +
			"   # its CA goes into kafka.tls.ca_file",
	},
	{
		"E204", "Kafka refuses the login.",
		"The user, the password or the mechanism is another one there.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --describe --entity-type users --entity-name USER",
	},
	{
		"E205", "Kafka does not offer this kind of login.",
		"kafka.auth names a SASL mechanism that the listener has not.",
		"kafka: {auth: scram_sha_512}   # or plain, msk_iam, none: what the listener's sasl.enabled.mechanisms has",
	},
	{
		"E206", "Kafka does not allow the use of a topic.",
		"The user has no ACL for it (MSK: WriteData, DescribeTopic, ReadData).",
		"kafka-acls.sh --bootstrap-server BROKER:PORT --add --allow-principal User:USER --operation Write " +
			"--operation Describe --operation Read --topic TOPIC",
	},
	{
		"E207", "Kafka does not allow the transactional id.",
		"Exactly-once delivery writes in transactions (MSK: AlterTransactionalId, DescribeTransactionalId).",
		"kafka-acls.sh --bootstrap-server BROKER:PORT --add --allow-principal User:USER --operation Write " +
			"--operation Describe --transactional-id tributary/ --resource-pattern-type prefixed",
	},
	{
		"E208", "Kafka does not allow an operation on the cluster.",
		"Creating topics and idempotent writing are rights of their own (MSK: CreateTopic, " +
			"WriteDataIdempotently).",
		"kafka-acls.sh --bootstrap-server BROKER:PORT --add --allow-principal User:USER --operation Create " +
			"--operation IdempotentWrite --cluster",
	},
	{
		"E209", "A topic is missing.",
		"topic.create is false, or Kafka refuses to create it.",
		"kafka-topics.sh --bootstrap-server BROKER:PORT --create --topic TOPIC --partitions 3",
	},
	{
		"E210", "A record is larger than Kafka takes.",
		"The topic's max.message.bytes, or kafka.max_record_bytes, is smaller than the row.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --alter --topic TOPIC --add-config " +
			"max.message.bytes=16777216   # and kafka.max_record_bytes: 16MiB",
	},
	{
		"E211", "There are fewer brokers than replicas are asked for.",
		"topic.replication_factor is larger than the number of brokers.",
		"topic: {replication_factor: 3}   # not more than there are brokers",
	},
	{
		"E212", "Too few replicas are in sync.",
		"tributary writes with acks=all, which min.insync.replicas of the topic limits. run waits.",
		"kafka-topics.sh --bootstrap-server BROKER:PORT --describe --under-min-isr-partitions",
	},
	{
		"E213", "Two tables would go to one topic.",
		"Their names differ only in characters that Kafka has not, or a route makes them the same.",
		`topic: {routes: [{match: "/REGEX/", replace: "NAME"}]}   # gives one of them another name`,
	},
	{
		"E214", "A policy of the Kafka cluster refuses the topic.",
		"The brokers have a create.topic.policy.class.name.",
		"kafka-topics.sh --bootstrap-server BROKER:PORT --create --topic TOPIC   # as the policy wants it",
	},
	{
		"E215", "Kafka did not take a window of records.",
		"It was away, or busy. Nothing is lost: run starts again from the stored position.",
		"kafka-broker-api-versions.sh --bootstrap-server BROKER:PORT   # does it answer?",
	},
	{
		"E216", "Another instance has taken over.",
		"It holds the transactional id, so this one may not write any more. run stands by.",
		"tributary status   # of both instances: each needs its own pipeline and slot, or one stands by",
	},
	{
		"E217", "The database server was silent for too long.",
		"After wal_sender_timeout another instance may hold the slot, so nothing more is sent. run starts again.",
		"SHOW wal_sender_timeout;   -- and the network between",
	},
	{
		"E218", "Kafka names a broker that cannot be reached.",
		"advertised.listeners of the broker has a name or port that does not lead to it from here.",
		"nc -vz BROKER PORT   # then mend advertised.listeners in the broker's server.properties",
	},
	{
		"E219", "Kafka refuses a record.",
		"Its own words say why.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --describe --topic TOPIC",
	},
	{
		"E220", "The position topic forgets positions.",
		"Its cleanup.policy deletes records by age; it must be compacted.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --alter --topic TOPIC --add-config " +
			"cleanup.policy=compact",
	},
	{
		"E225", "Kafka allows no transactions as long as configured.",
		"kafka.transaction_timeout is larger than the brokers' transaction.max.timeout.ms.",
		"kafka: {transaction_timeout: 1m}",
	},
	{
		"E226", "Writing needs more replicas than a topic has.",
		"min.insync.replicas is larger than the topic's replication factor: brokers refuse every record then, " +
			"but for new releases, which ask for no more replicas than there are.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --alter --topic TOPIC --add-config " +
			"min.insync.replicas=1",
	},
	{
		"E227", "Kafka refuses to make a topic as configured.",
		"topic.config or topic.partitions has what the brokers do not take, or topic.prefix and topic.routes " +
			"make a name that they do not.",
		"topic: {config: {}}   # leave out what Kafka's words name; then tributary check --only source,kafka",
	},
	{
		"W225", "New topics would have one replica.",
		"The brokers' default.replication.factor is 1, and topic.replication_factor leaves it to them: a broker " +
			"that is lost takes its records along.",
		"topic: {replication_factor: 3}   # not more than there are brokers",
	},
	{
		"W221", "A topic has another number of partitions than configured.",
		"It stays as it is: changing it would move keys.",
		"kafka-topics.sh --bootstrap-server BROKER:PORT --describe --topic TOPIC   # then topic.partitions",
	},
	{
		"W222", "A topic takes smaller records than tributary may send.",
		"max.message.bytes of the topic is smaller than kafka.max_record_bytes.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --alter --topic TOPIC --add-config " +
			"max.message.bytes=16777216",
	},
	{
		"W224", "The password goes to Kafka in clear.",
		"kafka.auth plain is without TLS.",
		"kafka: {tls: {enabled: true}}",
	},
	{
		"W223", "A compacted topic gets records without a key.",
		"Kafka refuses a record without a key in a compacted topic, and the table has none.",
		"kafka-configs.sh --bootstrap-server BROKER:PORT --alter --topic TOPIC --add-config " +
			"cleanup.policy=delete",
	},
}

// registryEntries are what can be wrong at the schema registry: E3 and W3.
var registryEntries = []entry{
	{
		"E301", "The schema registry does not answer.",
		"It is down, or busy. Known schemas flow on; new ones wait, and run goes on by itself.",
		"curl -i REGISTRY/subjects",
	},
	{
		"E302", "The schema registry does not accept the user or its secret.",
		"schema_registry.user, password_from or bearer_from hold something else.",
		"curl -i REGISTRY/subjects -u USER",
	},
	{
		"E303", "The schema registry does not allow the request.",
		"The user may not read or write the subject.",
		"curl -i -X POST REGISTRY/subjects/SUBJECT -u USER   # grant it read and write, or register by hand",
	},
	{
		"E304", "The schema registry refuses a schema as incompatible.",
		"A change of the table breaks the subject's compatibility rule.",
		"curl -X PUT REGISTRY/config/SUBJECT -H 'Content-Type: application/json' -d " +
			"'{\"compatibility\":\"NONE\"}'   # for one registration;" +
			" or make the new column nullable or give it a default",
	},
	{
		"E305", "The schema registry refuses the request.",
		"Its own words say why; often the URL lacks its path.",
		"curl -i REGISTRY/subjects   # must answer with a list",
	},
	{
		"E306", "The schema registry is read-only.",
		"Its mode is not READWRITE, so no schema can be registered.",
		"curl -X PUT REGISTRY/mode -H 'Content-Type: application/json' -d '{\"mode\":\"READWRITE\"}'",
	},
	{
		"E307", "The name of the schema registry is not known.",
		"DNS has no address for the host of schema_registry.url, where tributary runs.",
		"getent hosts HOST   # here and in the pod's network",
	},
	{
		"E308", "The certificate of the schema registry is not accepted.",
		"It has expired, names another host, or is signed by a CA that is not trusted here.",
		"openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -dates -issuer" +
			"   # its CA goes into schema_registry.tls.ca_file",
	},
	{
		"I307", "A schema would be a new version.",
		"The table has changed, or another version of tributary wrote the one before.",
		"tributary schema diff TABLE   # what is new in it",
	},
	{
		"W308", "The schema registry checks nothing.",
		"The compatibility of the subject is NONE: consumers may meet schemas that they cannot read.",
		"curl -X PUT REGISTRY/config/SUBJECT -H 'Content-Type: application/json' -d " +
			"'{\"compatibility\":\"BACKWARD\"}'",
	},
}

// positionEntries are stored positions that do not fit, and takeovers: E4 and E5.
var positionEntries = []entry{
	{
		"E401", "The stored position was written by another version.",
		"This program does not know its form.",
		"tributary version   # then run the program that wrote it, or a newer one",
	},
	{
		"E402", "The stored position is of another server or database.",
		"source.url leads elsewhere than before, or the server was replaced.",
		"tributary snapshot --repair -c FILE   # if the server was replaced; else point source.url back",
	},
	{
		"E403", "Somebody else has read or moved the slot.",
		"It is confirmed further than what was published: the changes in between may be missing.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E404", "The server has lost history that was published.",
		"A failover or a restore went back behind it: consumers hold changes that the server has not.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E405", "The stored position lies in a transaction that the server now sends otherwise.",
		"The publication, the protocol or the tables changed in the middle of it.",
		"tributary snapshot --repair -c FILE   # or restore the publication as it was",
	},
	{
		"E406", "A rewind was begun and is not done.",
		"It was interrupted; only the same rewind finishes it.",
		"tributary rewind --to-lsn LSN   # the one that the error names",
	},
	{
		"E407", "The slot is gone, and a position is stored.",
		"What committed since the position may be lost.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E408", "What was asked for lies outside of what can be replayed.",
		"The anchor slot keeps replay.keep of WAL and no more.",
		"tributary positions   # shows the range",
	},
	{
		"E409", "A repair was asked for and has not begun.",
		"tributary snapshot --repair only notes what the next run is to do.",
		"tributary run -c FILE",
	},
	{
		"E410", "The slot was given up before it filled the source's disk.",
		"source.wal_limit was reached, and source.wal_limit_action is drop.",
		"tributary snapshot --repair -c FILE   # then tributary run: all rows again, and the deletes of the gap",
	},
	{
		"E501", "The connector's offset is beyond the server.",
		"It is of another server, or of before a restore.",
		"tributary check --only debezium --from-debezium connector.json   # shows both",
	},
	{
		"E502", "The slot is gone, and the connector has an offset.",
		"What committed since that offset may be lost.",
		"tributary run --from-debezium connector.json --snapshot-mode when_needed",
	},
	{
		"E503", "There is a slot, and nothing that says what was published from it.",
		"Neither a position nor a connector's offset is stored, and snapshot.without_position says stop.",
		"tributary run --snapshot-without-position snapshot",
	},
	{
		"E504", "The schemas differ from those that the connector registered.",
		"Consumers would get a new version, and the registry refuses it.",
		"tributary schema diff TABLE   # what is new in it",
	},
	{
		"W505", "The takeover needs attention.",
		"The connector's offset or its slot is not as a clean stop leaves it.",
		"curl -X PUT CONNECT/connectors/NAME/stop   # before tributary runs",
	},
	{
		"I506", "Nothing to do in the takeover.",
		"A property has no meaning here, or a new snapshot is taken as a new connector would.",
		"tributary config convert connector.json   # lists every property",
	},
}

// programEntries are what is wrong with the program's own surroundings: E6, W6 and I6.
var programEntries = []entry{
	{
		"E600", "Something failed that has no code of its own.",
		"The text says what.",
		"tributary run --log-level debug   # and tell us: it should have a code",
	},
	{
		"E601", "The configuration is wrong.",
		"Every problem is listed with file, line and column.",
		"tributary config validate --config FILE",
	},
	{
		"E602", "The command line is wrong.",
		"An unknown command or flag, or a value that does not fit.",
		"tributary COMMAND --help",
	},
	{
		"E603", "The address for the status page is taken.",
		"Another program, or another tributary, listens on http.listen.",
		"ss -ltnp   # who listens; or tributary run --http-listen 127.0.0.1:8081",
	},
	{
		"E604", "A secret cannot be read.",
		"The file or variable that a ..._from key names is not there for this process.",
		"ls -l FILE   # or printenv NAME, as the user that runs tributary",
	},
	{
		"E605", "Interrupted before the window was finished.",
		"A second signal did not wait. Nothing is lost: the rest comes again from the slot.",
		"tributary run   # goes on",
	},
	{
		"E606", "A certificate or key file cannot be used.",
		"It is missing, not readable, or not in PEM form.",
		"openssl x509 -noout -subject -in FILE",
	},
	{
		"E607", "AWS does not answer, or there are no credentials.",
		"The pod has no role, no way to the service, or no region; it is tried again.",
		"tributary check --only aws   # who this is for AWS, and by which credentials",
	},
	{
		"E608", "AWS refuses what it was asked.",
		"The role's policy lacks an action, which the text names, or there is no such thing.",
		"aws iam simulate-principal-policy --policy-source-arn ARN --action-names ACTION --resource-arns ARN",
	},
	{
		"E609", "The MSK cluster has no listener for this login.",
		"kafka.auth asks for a kind of listener that the cluster was not given.",
		"aws kafka get-bootstrap-brokers --cluster-arn ARN   # what it has; kafka.auth takes one",
	},
	{
		"E610", "No instance answers.",
		"tributary does not run there, or serves its status at another address.",
		"tributary status --addr HOST:PORT   # http.listen of the instance",
	},
	{
		"E611", "There is nothing to measure with.",
		"tributary bench reads what waits in the slot, or stays behind it for replay.keep, and nothing does.",
		"psql -c 'UPDATE public.orders SET id = id'   # with the pipeline stopped; then tributary bench",
	},
	{
		"W604", "Something could not be found out.",
		"Who this is for AWS, or the stored position, was not told: run may work, or not.",
		"tributary check   # again, as the identity that run has",
	},
	{
		"W600", "The configuration has something that deserves a look.",
		"It works, but perhaps not as meant.",
		"tributary config print --comments",
	},
	{
		"W601", "Memory is small for the buffers.",
		"The memory limit of the container leaves little beyond kafka.window_bytes and source.max_row_bytes.",
		"kafka: {window_bytes: 16MiB}   # or a larger memory limit",
	},
	{
		"W602", "The pod may be killed before a window is finished.",
		"Its termination grace period is shorter than kafka.transaction_timeout. Nothing is lost, but consumers " +
			"of committed records wait until the broker ends the open transaction.",
		"terminationGracePeriodSeconds: 60   # of the pod's spec; and TERMINATION_GRACE_PERIOD_SECONDS beside it",
	},
	{
		"W603", "A TRIBUTARY_ variable is not known.",
		"It sets nothing: its name is misspelt, or of another version.",
		"tributary config schema | grep -o 'TRIBUTARY_[A-Z_]*' | sort -u",
	},
}
