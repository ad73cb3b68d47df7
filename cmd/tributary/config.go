package main

import (
	"slices"
	"strings"
	"time"
)

// Config is everything that a person may set, under the names that the file uses. A field's comment is its
// help: `config schema`, `config print` and every --help read it from this file. run.go turns a Config
// into the options of the packages; no other package sees it.
type Config struct {
	// Names the stored position, the ledger and the transactional.id. By default topic.prefix.
	Pipeline       string         `yaml:"pipeline"`
	Source         SourceConfig   `yaml:"source"`
	Snapshot       SnapshotConfig `yaml:"snapshot"`
	Takeover       TakeoverConfig `yaml:"takeover"`
	Replay         ReplayConfig   `yaml:"replay"`
	Kafka          KafkaConfig    `yaml:"kafka"`
	SchemaRegistry RegistryConfig `yaml:"schema_registry"`
	Topic          TopicConfig    `yaml:"topic"`
	// Whether a restart may repeat records: never to a read_committed consumer, or a suffix of the log.
	Delivery string `yaml:"delivery" in:"exactly-once,at-least-once"`
	// A null value after each delete, so that compaction forgets the key.
	Tombstones bool `yaml:"tombstones"`
	// Operations that are not published: c, u, d, t, or none to publish all of them.
	SkippedOperations []string `yaml:"skipped_operations"`
	// Leave out updates that changed no captured column; needs REPLICA IDENTITY FULL to see it.
	SkipUnchanged bool `yaml:"skip_unchanged"`
	// Static record headers, name: value, on every record of a table.
	Headers map[string]string `yaml:"headers"`
	// The __debezium.context.* headers that Debezium puts on every record of a table.
	ContextHeaders bool              `yaml:"context_headers"`
	Columns        ColumnsConfig     `yaml:"columns"`
	Format         FormatConfig      `yaml:"format"`
	Messages       MessagesConfig    `yaml:"messages"`
	Transactions   TransactionConfig `yaml:"transactions"`
	Heartbeat      HeartbeatConfig   `yaml:"heartbeat"`
	// A value that the schema cannot carry: stop and name it, or write null where the column allows null.
	Unrepresentable string `yaml:"unrepresentable" in:"stop,null"`
	// Whose bytes to write where the two differ: native tells the truth, debezium repeats what
	// Debezium 3.6.1 writes, lost values included. --from-debezium sets debezium.
	Compatibility string `yaml:"compatibility" in:"native,debezium"`
	// In a state that needs a person: exit 4, or stay up with /readyz at 503 so that the reason can be read.
	OnFailure string     `yaml:"on_failure" in:"exit,stay"`
	AWS       AWSConfig  `yaml:"aws"`
	HTTP      HTTPConfig `yaml:"http"`
	Log       LogConfig  `yaml:"log"`

	origins map[string]origin // by key path; for `config print`
	notes   []string          // what loading noticed that is no error, each to be logged once
	rulings []ruling          // of --from-debezium: the verdict on each property
	command []string          // the flags that lead to it, without secrets
	aws     *awsAccess        // shared by the copies of a loaded configuration
}

// SourceConfig is the database and what is read from it.
type SourceConfig struct {
	// Where the database is: postgres://user@host:5432/database?sslmode=verify-full&sslrootcert=FILE.
	URL URL `yaml:"url" required:"true"`
	// How to log in: password, or rds_iam, an IAM user of RDS by a new token at each connect, over TLS only.
	Auth string `yaml:"auth" in:"password,rds_iam"`
	// Where the password is read at each connect: file:PATH, env:NAME, secretsmanager:ARN or NAME, ssm:NAME.
	// #KEY behind the last two takes one value of a JSON secret, by default password. Wins over one in the URL.
	PasswordFrom SecretSource `yaml:"password_from"`
	// Which tables, as shell globs on schema.table, or /regular expressions/ that match the whole name.
	Tables []Pattern `yaml:"tables" required:"true"`
	// Tables to leave out again.
	ExcludeTables []Pattern `yaml:"exclude_tables"`
	// Schemas to stay within; all when empty.
	Schemas []Pattern `yaml:"schemas"`
	// Schemas to leave out.
	ExcludeSchemas []Pattern `yaml:"exclude_schemas"`
	// The publication; by default tributary_ and topic.prefix, every odd character an underscore.
	Publication string `yaml:"publication"`
	// Create the publication when it is missing: auto does for tables that are named and that the role owns.
	CreatePublication string `yaml:"create_publication" in:"auto,true,false,filtered,all_tables,no_tables"`
	// Publish changes of partitions under their root; only when tributary creates the publication.
	PublishViaRoot bool `yaml:"publish_via_root"`
	// The replication slot; by default tributary_ and topic.prefix, every odd character an underscore.
	Slot string `yaml:"slot"`
	// Create the slot with FAILOVER (PostgreSQL 17 and later), so that a standby has it too.
	SlotFailover bool `yaml:"slot_failover"`
	// Message key columns by table pattern, for tables without a primary key or with a better one.
	KeyColumns []KeyColumns `yaml:"key_columns"`
	// Replica identities to set at start, by table pattern; needs ownership of the table.
	ReplicaIdentity []IdentityRule `yaml:"replica_identity"`
	// The largest message taken from the server: a row larger than this stops the pipeline.
	MaxRowBytes Bytes `yaml:"max_row_bytes"`
	// How much WAL the slot may keep on the source's disk; 0 is no limit beside the server's own.
	WALLimit Bytes `yaml:"wal_limit"`
	// What to do when that is a minute away: warn, or drop the slot, stop, and name the gap and its repair.
	WALLimitAction string `yaml:"wal_limit_action" in:"warn,drop"`
	// Read the slot through SQL, which is faster, while it is behind by more WAL than this; 0 is never.
	CatchUpBytes Bytes `yaml:"catch_up_bytes"`
	// After how much WAL of that the replication connection is opened anew, so that the server lets go of WAL.
	CatchUpReopen Bytes `yaml:"catch_up_reopen"`
	// How often the slot's xmin is read for source.xmin; 0 leaves it null.
	XminInterval time.Duration `yaml:"xmin_interval"`
}

// KeyColumns gives the message key of the tables that a pattern matches.
type KeyColumns struct {
	// The tables, as in source.tables.
	Table Pattern `yaml:"table" required:"true"`
	// The columns, in key order.
	Columns []string `yaml:"columns" required:"true"`

	patterns []Pattern // with --from-debezium, where each column is an expression
}

// IdentityRule is a replica identity for the tables that a pattern matches.
type IdentityRule struct {
	// The tables, as in source.tables.
	Table Pattern `yaml:"table" required:"true"`
	// default, full, nothing, or index NAME.
	Identity string `yaml:"identity" required:"true"`
}

// SnapshotConfig is how the rows that were there before are read.
type SnapshotConfig struct {
	// When rows are read: once, at each start, once and then stop, never, or again when the log has a gap.
	Mode string `yaml:"mode" in:"initial,always,initial_only,no_data,when_needed"`
	// Connections that read tables at a time.
	Workers int `yaml:"workers"`
	// Tables of more rows are read in key order, so that a crash repeats none of their rows.
	ResumeRows int `yaml:"resume_rows"`
	// A later snapshot begins only when the stream is less than this behind.
	MaxLag time.Duration `yaml:"max_lag"`
	// The longest that a later snapshot holds the stream at a time.
	Pause time.Duration `yaml:"pause"`
	// Read only these of the captured tables; all when empty.
	Tables []Pattern `yaml:"tables"`
	// A captured table, as schema.table, into which Debezium's signals are inserted: snapshots while
	// streaming.
	SignalTable string `yaml:"signal_table"`
	// A slot that is there while no position is stored: read the rows again, or exit 4.
	WithoutPosition string `yaml:"without_position" in:"snapshot,stop"`
}

// TakeoverConfig is a Debezium connector whose slot tributary takes over, and may give back.
type TakeoverConfig struct {
	// The topic of Connect's offsets. A slot without a stored position goes on from what the connector has
	// stored there; at an orderly stop tributary's own position is put there, for Debezium to go on from.
	ConnectOffsets string `yaml:"connect_offsets"`
	// The connector's name; by default the one in its JSON.
	Connector string `yaml:"connector"`
}

// ReplayConfig is what is kept so that the past can be published again.
type ReplayConfig struct {
	// How much WAL the anchor, a second slot, keeps behind the slot for replay and rewind; 0 keeps none.
	Keep Bytes `yaml:"keep"`
}

// KafkaConfig is the cluster and how it is written to.
type KafkaConfig struct {
	// Bootstrap brokers as host:port.
	Brokers []string `yaml:"brokers" required:"true"`
	// The cluster on Amazon MSK instead of brokers, which are looked up at each start, as kafka.auth wants them.
	MSKClusterARN string    `yaml:"msk_cluster_arn"`
	TLS           TLSConfig `yaml:"tls"`
	// How to log in: mtls is by tls.cert_file; msk_iam as whoever AWS's default chain finds.
	Auth string `yaml:"auth" in:"none,plain,scram_sha_256,scram_sha_512,msk_iam,mtls"`
	// The user of plain and scram.
	User string `yaml:"user"`
	// Where the password is read at each connect, as source.password_from.
	PasswordFrom SecretSource `yaml:"password_from"`
	// Names this client in the brokers' logs and quotas.
	ClientID string `yaml:"client_id"`
	// Compression of record batches.
	Compression string `yaml:"compression" in:"none,gzip,snappy,lz4,zstd"`
	// The compacted topic of stored positions; several pipelines may share it.
	PositionTopic string `yaml:"position_topic"`
	// The topic with one record for each delivery window: counts, hashes, LSN ranges.
	LedgerTopic string `yaml:"ledger_topic"`
	// Records after which a delivery window is closed under load.
	WindowRecords int `yaml:"window_records"`
	// Bytes after which a delivery window is closed under load.
	WindowBytes Bytes `yaml:"window_bytes"`
	// Bytes of the largest record, and of a batch before it is compressed. More than the default needs as
	// much in max.message.bytes of the topics.
	MaxRecordBytes Bytes `yaml:"max_record_bytes"`
	// at-least-once: how long a record waits for company in its batch.
	Linger time.Duration `yaml:"linger"`
	// exactly-once: how long a crash without a restart holds back read_committed consumers.
	TransactionTimeout time.Duration `yaml:"transaction_timeout"`
}

// TLSConfig is one side's TLS settings.
type TLSConfig struct {
	// Whether to use TLS: auto does when another key here is set, for msk_iam and mtls, and for an https URL.
	Enabled string `yaml:"enabled" in:"auto,true,false"`
	// A PEM file of authorities to trust instead of the system's.
	CAFile string `yaml:"ca_file"`
	// A PEM file with the client's certificate, read again at each connect.
	CertFile string `yaml:"cert_file"`
	// A PEM file with the client's key.
	KeyFile string `yaml:"key_file"`
	// The name to verify the server's certificate against; by default the host.
	ServerName string `yaml:"server_name"`
}

// RegistryConfig is the schema registry.
type RegistryConfig struct {
	// Where the registry's Confluent API is; for Apicurio it ends in /apis/ccompat/v7.
	URL URL `yaml:"url" required:"true"`
	// The user for basic authentication.
	User string `yaml:"user"`
	// Where the password is read, as source.password_from.
	PasswordFrom SecretSource `yaml:"password_from"`
	// Where a bearer token is read, as source.password_from.
	BearerFrom SecretSource `yaml:"bearer_from"`
	TLS        TLSConfig    `yaml:"tls"`

	inline Secret // the password of a connector's JSON, which has it in clear
}

// TopicConfig is how topics are named and made.
type TopicConfig struct {
	// The first part of every topic, schema and header: topics are PREFIX.SCHEMA.TABLE.
	Prefix string `yaml:"prefix" required:"true"`
	// What stands between the parts of a topic's name.
	Delimiter string `yaml:"delimiter"`
	// Create topics that are missing. When false a missing topic stops the pipeline, naming it.
	Create bool `yaml:"create"`
	// Partitions of a topic that is created; 0 is the broker's default.
	Partitions int `yaml:"partitions"`
	// Replication factor of a topic that is created; 0 is the broker's default.
	ReplicationFactor int `yaml:"replication_factor"`
	// cleanup.policy of a table's topic that is created; empty is the broker's default.
	CleanupPolicy string `yaml:"cleanup_policy" in:",delete,compact,compact\\,delete"`
	// More settings of a topic that is created, by Kafka's names.
	Config map[string]string `yaml:"config"`
	// Other names for topics, tried in order, each on the name that the one before left.
	Routes []Route `yaml:"routes"`
}

// Route renames topics.
type Route struct {
	// A /regular expression/ that matches the whole topic name.
	Match Pattern `yaml:"match" required:"true"`
	// The new name; $1 or ${name} stands for what a group matched.
	Replace string `yaml:"replace" required:"true"`
	// Name the schemas after the new topic as well, as Debezium's ByLogicalTableRouter does.
	Schemas bool `yaml:"schemas"`
}

// ColumnsConfig is what leaves a row's columns out or makes them unreadable.
type ColumnsConfig struct {
	// Columns to write, as patterns on schema.table.column; all when empty. Key columns stay in the key.
	Include []Pattern `yaml:"include"`
	// Columns to leave out, as patterns on schema.table.column.
	Exclude []Pattern `yaml:"exclude"`
	// Columns whose source type, length and scale are told in the schema.
	SourceTypes []Pattern `yaml:"source_types"`
	// The same for all columns of a type, as patterns on schema.type or type.
	SourceTypesOf []Pattern `yaml:"source_types_of"`
	// Rules that mask, cut or hash.
	Rules []ColumnRule `yaml:"rules"`
}

// ColumnRule is one rule; exactly one of Mask, Truncate and Hash is set.
type ColumnRule struct {
	// The columns, as patterns on schema.table.column.
	Columns []Pattern `yaml:"columns" required:"true"`
	// mask, truncate or hash.
	Action string `yaml:"action" in:"mask,truncate,hash" required:"true"`
	// mask: how many asterisks; truncate: how many characters stay.
	Length int `yaml:"length"`
	// hash: the digest by its Java name, such as SHA-256.
	Algorithm string `yaml:"algorithm"`
	// hash: the salt.
	Salt Secret `yaml:"salt"`
	// hash: 2 digests the text itself, 1 the Java object stream of it.
	Version int `yaml:"version"`
}

// FormatConfig is how keys and values are written.
type FormatConfig struct {
	// The form of record keys.
	Key string `yaml:"key" in:"avro,json,json_schema"`
	// The form of record values.
	Value string `yaml:"value" in:"avro,json,json_schema"`
	// numeric and money: exact bytes, text, or floating point with its loss.
	Decimal string `yaml:"decimal" in:"precise,string,double"`
	// date, time and timestamp.
	Time string `yaml:"time" in:"adaptive,adaptive_time_microseconds,connect,isostring,microseconds,nanoseconds"`
	// interval: microseconds with months of 30.4375 days, or ISO 8601 text.
	Interval string `yaml:"interval" in:"numeric,string"`
	// hstore: JSON text or a map.
	Hstore string `yaml:"hstore" in:"json,map"`
	// bytea.
	Binary string `yaml:"binary" in:"bytes,base64,base64_url_safe,hex"`
	// Digits after the point of money under decimal: precise.
	MoneyFractionDigits int `yaml:"money_fraction_digits"`
	// Write columns of types without a form of their own as bytes, instead of leaving them out.
	UnknownTypes bool `yaml:"unknown_types"`
	// What stands for a large value that an update did not touch; hex: before hexadecimal bytes.
	UnavailableValuePlaceholder string `yaml:"unavailable_value_placeholder"`
	// Characters that Avro does not allow in schema names.
	SchemaNames string `yaml:"schema_names" in:"none,avro,avro_unicode"`
	// Characters that Avro does not allow in field names; with Avro none is avro.
	FieldNames string `yaml:"field_names" in:"none,avro,avro_unicode"`
	// Tell the comments of tables and columns in the schema.
	Comments bool `yaml:"comments"`
	// Write NULL as NULL in columns that have a default, where compatibility: debezium writes the default.
	IgnoreDefaultForNullables bool `yaml:"ignore_default_for_nullables"`
}

// MessagesConfig chooses among the messages of pg_logical_emit_message (PostgreSQL 14 and later).
type MessagesConfig struct {
	// Prefixes to publish, as patterns; all when empty.
	Include []Pattern `yaml:"include"`
	// Prefixes to leave out.
	Exclude []Pattern `yaml:"exclude"`
}

// TransactionConfig is the record of where transactions begin and end.
type TransactionConfig struct {
	// Write BEGIN and END records, and a transaction block into each change.
	Metadata bool `yaml:"metadata"`
	// The topic is topic.prefix, the delimiter, and this.
	Topic string `yaml:"topic"`
}

// HeartbeatConfig is the records that show that an idle pipeline lives. The slot needs none of it to advance.
type HeartbeatConfig struct {
	// How often; 0 is never.
	Interval time.Duration `yaml:"interval"`
	// The topic is this, the delimiter, and topic.prefix.
	TopicPrefix string `yaml:"topic_prefix"`
	// The whole topic name instead.
	Topic string `yaml:"topic"`
	// SQL to run in the source with each heartbeat.
	Query string `yaml:"query"`
}

// AWSConfig is how AWS is asked, where another key has it asked.
type AWSConfig struct {
	// The region; by default that of the ARN or host name that is asked for, then AWS_REGION.
	Region string `yaml:"region"`
}

// HTTPConfig is the status server.
type HTTPConfig struct {
	// Where /livez, /readyz, /startupz, /metrics and /api/v1/status are served; empty serves nothing.
	Listen string `yaml:"listen"`
	// Where the token is read that requests to change something must bear, at each of them: file:PATH or
	// env:NAME. Without it none is taken.
	TokenFrom SecretSource `yaml:"token_from"`
}

// LogConfig is the log.
type LogConfig struct {
	// The least level that is logged.
	Level string `yaml:"level" in:"debug,info,warn,error"`
	// auto is text on a terminal and JSON elsewhere.
	Format string `yaml:"format" in:"auto,text,json"`
}

// defaultConfig is what holds where nobody says otherwise. Slot, publication and pipeline follow from
// topic.prefix and are filled in by load.
func defaultConfig() Config {
	return Config{
		Source: SourceConfig{
			Auth: "password", CreatePublication: "auto", MaxRowBytes: 16 << 20, WALLimitAction: "warn",
			CatchUpBytes: 256 << 20, CatchUpReopen: 4 << 30,
		},
		Snapshot: SnapshotConfig{
			Mode: "initial", WithoutPosition: "snapshot", Workers: 2, ResumeRows: 100_000, MaxLag: 5 * time.Second,
			Pause: time.Second,
		},
		Replay: ReplayConfig{Keep: 1 << 30},
		Kafka: KafkaConfig{
			TLS: TLSConfig{Enabled: "auto"}, Auth: "none", ClientID: "tributary", Compression: "lz4",
			PositionTopic: "tributary.positions", LedgerTopic: "tributary.ledger",
			WindowRecords: 50_000, WindowBytes: 16 << 20, MaxRecordBytes: 1_000_012, Linger: 2 * time.Millisecond,
			TransactionTimeout: 40 * time.Second,
		},
		SchemaRegistry:    RegistryConfig{TLS: TLSConfig{Enabled: "auto"}},
		Topic:             TopicConfig{Delimiter: ".", Create: true},
		Delivery:          "exactly-once",
		Tombstones:        true,
		SkippedOperations: []string{"t"},
		ContextHeaders:    true,
		Format: FormatConfig{
			Key: "avro", Value: "avro", Decimal: "precise", Time: "adaptive", Interval: "numeric",
			Hstore: "json", Binary: "bytes", MoneyFractionDigits: 2, SchemaNames: "none", FieldNames: "none",
			UnavailableValuePlaceholder: "__debezium_unavailable_value",
		},
		Transactions:    TransactionConfig{Topic: "transaction"},
		Heartbeat:       HeartbeatConfig{TopicPrefix: "__debezium-heartbeat"},
		Unrepresentable: "stop",
		Compatibility:   "native",
		OnFailure:       "exit",
		HTTP:            HTTPConfig{Listen: "127.0.0.1:8080"},
		Log:             LogConfig{Level: "info", Format: "auto"},
	}
}

// derive fills in the names that follow from topic.prefix.
func (c *Config) derive() {
	name := "tributary_" + identifier(c.Topic.Prefix)
	if len(name) > 63 {
		name = name[:63] // Postgres cuts longer names, and refuses longer slots
	}
	for _, d := range []struct {
		path  string
		field *string
		value string
	}{
		{"pipeline", &c.Pipeline, c.Topic.Prefix},
		{"source.slot", &c.Source.Slot, name},
		{"source.publication", &c.Source.Publication, name},
	} {
		if *d.field == "" && c.Topic.Prefix != "" {
			*d.field = d.value
			c.origins[d.path] = origin{kind: "default", detail: "from topic.prefix"}
		}
	}
}

// identifier makes a name that is fit for a slot: lower case letters, digits and underscores.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
}

// Captures reports whether a table is to be captured, by its unquoted names.
func (s SourceConfig) Captures(namespace, table string) bool {
	return matchAny(s.Tables, namespace+"."+table) && s.keeps(namespace, table)
}

// keeps reports whether no other key than tables leaves a table out.
func (s SourceConfig) keeps(namespace, table string) bool {
	return (len(s.Schemas) == 0 || matchAny(s.Schemas, namespace)) && !matchAny(s.ExcludeSchemas, namespace) &&
		!matchAny(s.ExcludeTables, namespace+"."+table)
}

// Key returns the key columns that the configuration gives a table, nil when it gives none.
func (s SourceConfig) Key(namespace, table string) []string {
	for _, k := range s.KeyColumns {
		if k.Table.Match(namespace + "." + table) {
			return k.Columns
		}
	}
	return nil
}

// KeyAmong is Key for a table of these columns: what --from-debezium gives as expressions becomes the columns
// that match each in turn. Debezium takes the table's own key where none does.
func (s SourceConfig) KeyAmong(namespace, table string, columns []string) []string {
	for _, k := range s.KeyColumns {
		if len(k.patterns) == 0 || !k.Table.Match(namespace+"."+table) {
			continue
		}
		var key []string
		for _, p := range k.patterns {
			for _, c := range columns {
				if p.Match(c) && !slices.Contains(key, c) {
					key = append(key, c)
				}
			}
		}
		return key
	}
	return s.Key(namespace, table)
}

// Skips reports whether records of an operation (c, u, d or t) are left out.
func (c Config) Skips(op byte) bool {
	for _, s := range c.SkippedOperations {
		if s == string(rune(op)) {
			return true
		}
	}
	return false
}

// NeedsRegistry reports whether keys or values are Avro; the JSON forms carry or omit their schema
// themselves.
func (c Config) NeedsRegistry() bool { return c.Format.Key == "avro" || c.Format.Value == "avro" }

// On reports whether TLS is to be used; wanted says whether the other settings ask for it.
func (t TLSConfig) On(wanted bool) bool {
	if t.Enabled != "auto" {
		return t.Enabled == "true"
	}
	return wanted || t.CAFile != "" || t.CertFile != "" || t.ServerName != ""
}
