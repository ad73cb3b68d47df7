package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// sourceOptions says how to connect to the source; the password is read anew at each connect.
func sourceOptions(c Config) decoder.ConnectOptions {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // a label for people, nothing depends on it
	}
	o := decoder.ConnectOptions{
		URL: string(c.Source.URL), ApplicationName: "tributary/" + c.Pipeline + "/" + host,
	}
	switch {
	case c.Source.Auth == "rds_iam":
		o.RequireTLS = true // a token is as good as a password
		address, user := sourceAddress(c.Source.URL), sourceUser(c.Source.URL)
		o.Password = func(ctx context.Context) (string, error) {
			token, err := c.access().rdsToken(ctx, address, user)
			return string(token), err
		}
	case c.Source.PasswordFrom != "":
		o.Password = func(ctx context.Context) (string, error) {
			secret, err := c.Source.PasswordFrom.Resolve(ctx, c.access())
			return string(secret), err
		}
	}
	return o
}

// Select says which tables are captured, in the catalog's terms. Globs stay what they are, so that the
// catalog can miss a table that is named.
func (s SourceConfig) Select() snapshot.Select {
	o := snapshot.Select{Keep: s.keeps}
	for _, p := range s.Tables {
		if p.IsGlob() {
			o.Patterns = append(o.Patterns, p.String())
			continue
		}
		o.Match = append(o.Match, func(namespace, table string) bool { return p.Match(namespace + "." + table) })
	}
	return o
}

// catalogOptions says how the catalog is read.
func catalogOptions(c Config, viaRoot bool) snapshot.CatalogOptions {
	source := sourceOptions(c)
	return snapshot.CatalogOptions{
		Connect:      connectFunc(source),
		Publications: []string{c.Source.Publication},
		ViaRoot:      viaRoot,
		KeyColumns:   c.Source.KeyAmong,
		Debezium:     c.Compatibility == "debezium",
	}
}

// schemaOptions says how rows are written.
func schemaOptions(c Config) (schema.Options, error) {
	f := c.Format
	o := schema.Options{
		Name: c.Topic.Prefix, Database: sourceDatabase(c.Source.URL), Version: readBuild().Version,
		KeyFormat: formats[f.Key], ValueFormat: formats[f.Value],
		Decimal: decimalModes[f.Decimal], Time: timeModes[f.Time], Interval: intervalModes[f.Interval],
		Hstore: hstoreModes[f.Hstore], Binary: binaryModes[f.Binary],
		MoneyDigits: f.MoneyFractionDigits, UnknownTypes: f.UnknownTypes,
		SchemaNames: nameModes[f.SchemaNames], FieldNames: nameModes[f.FieldNames],
		Debezium: c.Compatibility == "debezium", IgnoreDefaultForNullables: f.IgnoreDefaultForNullables,
		PropagateColumns: anyOf(c.Columns.SourceTypes), PropagateTypes: anyOf(c.Columns.SourceTypesOf),
		Comments: f.Comments,
	}
	if f.MoneyFractionDigits == 0 {
		o.MoneyDigits = schema.NoDigits
	}
	if c.Unrepresentable == "null" {
		o.Unrepresentable = schema.WriteNull
	}
	var err error
	if o.Placeholder, err = placeholder(f.UnavailableValuePlaceholder); err != nil {
		return o, err
	}
	o.Columns = columnRules(c.Columns)
	return o, nil
}

// The words of the configuration in the terms of package schema.
var (
	formats = map[string]schema.Format{
		"avro": schema.Avro, "json": schema.JSONBare,
		"json_schema": schema.JSONSchemas,
	}
	decimalModes = map[string]schema.DecimalMode{
		"precise": schema.DecimalPrecise, "double": schema.DecimalDouble, "string": schema.DecimalString,
	}
	timeModes = map[string]schema.TimeMode{
		"adaptive": schema.TimeAdaptive, "adaptive_time_microseconds": schema.TimeAdaptiveMicros,
		"connect": schema.TimeConnect, "isostring": schema.TimeISOString,
		"microseconds": schema.TimeMicros, "nanoseconds": schema.TimeNanos,
	}
	intervalModes = map[string]schema.IntervalMode{
		"numeric": schema.IntervalNumeric,
		"string":  schema.IntervalString,
	}
	hstoreModes = map[string]schema.HstoreMode{"json": schema.HstoreJSON, "map": schema.HstoreMap}
	binaryModes = map[string]schema.BinaryMode{
		"bytes": schema.BinaryBytes, "base64": schema.BinaryBase64,
		"base64_url_safe": schema.BinaryBase64URL, "hex": schema.BinaryHex,
	}
	nameModes = map[string]schema.NameMode{
		"none": schema.NameNone, "avro": schema.NameAvro, "avro_unicode": schema.NameAvroUnicode,
	}
)

func columnRules(c ColumnsConfig) []schema.ColumnRule {
	var rules []schema.ColumnRule
	if include := anyOf(c.Include); include != nil {
		rules = append(rules, schema.ColumnRule{Columns: include, Action: schema.Include})
	}
	if exclude := anyOf(c.Exclude); exclude != nil {
		rules = append(rules, schema.ColumnRule{Columns: exclude, Action: schema.Exclude})
	}
	actions := map[string]schema.ColumnAction{
		"mask": schema.Mask, "truncate": schema.Truncate,
		"hash": schema.Hash,
	}
	for _, r := range c.Rules {
		rules = append(rules, schema.ColumnRule{
			Columns: anyOf(r.Columns), Action: actions[r.Action], Length: r.Length,
			Hash: r.Algorithm, Salt: []byte(r.Salt), JavaObject: r.Version == 1,
		})
	}
	return rules
}

// anyOf joins patterns into one expression, nil when there is none.
func anyOf(patterns []Pattern) *regexp.Regexp {
	if len(patterns) == 0 {
		return nil
	}
	parts := make([]string, len(patterns))
	for i, p := range patterns {
		parts[i] = "(?:" + p.Regexp().String() + ")"
	}
	return regexp.MustCompile(strings.Join(parts, "|")) // each part has been compiled before
}

// topicNames gives the topic of a table, and the name that its schemas are called after.
func topicNames(c Config) (topic, schemaTopic func(namespace, table string) string) {
	name := func(namespace, table string, schemas bool) string {
		// The delimiter is Kafka's dot in all but few cases; schema.Topic does the cleaning.
		base := schema.Topic(c.Topic.Prefix, namespace, table)
		if c.Topic.Delimiter != "." {
			base = cleanTopic(strings.Join([]string{c.Topic.Prefix, namespace, table}, c.Topic.Delimiter))
		}
		for _, r := range c.Topic.Routes {
			if (r.Schemas || !schemas) && r.Match.Match(base) {
				base = r.Match.Regexp().ReplaceAllString(base, r.Replace)
			}
		}
		return base
	}
	topic = func(namespace, table string) string { return name(namespace, table, false) }
	schemaTopic = func(namespace, table string) string { return name(namespace, table, true) }
	return topic, schemaTopic
}

// cleanTopic turns what Kafka forbids in a topic's name into underscores and cuts it, as schema.Topic does.
func cleanTopic(name string) string {
	cleaned := strings.Map(func(r rune) rune {
		if r < 0x80 && topicName.MatchString(string(r)) {
			return r
		}
		return '_'
	}, name)
	return cleaned[:min(len(cleaned), 249)]
}

// registryOptions says how the schema registry is reached.
func registryOptions(c Config) (schema.RegistryOptions, error) {
	r := c.SchemaRegistry
	o := schema.RegistryOptions{URL: string(r.URL), User: r.User}
	u, err := url.Parse(string(r.URL))
	if err != nil {
		return o, errors.New("schema_registry.url: not an address")
	}
	if password, has := u.User.Password(); has {
		o.User, r.inline = u.User.Username(), Secret(password)
		u.User = nil
		o.URL = u.String()
	}
	inline := r.inline
	o.Password = func(ctx context.Context) (string, error) {
		if r.PasswordFrom == "" {
			return string(inline), nil
		}
		secret, err := r.PasswordFrom.Resolve(ctx, c.access())
		return string(secret), err
	}
	if r.BearerFrom != "" {
		o.Bearer = func(ctx context.Context) (string, error) {
			secret, err := r.BearerFrom.Resolve(ctx, c.access())
			return string(secret), err
		}
	}
	if r.TLS.On(u.Scheme == "https") {
		o.TLS, err = tlsConfig("schema_registry.tls", r.TLS)
	}
	return o, err
}

// tlsConfig reads the certificates that a tls block names.
func tlsConfig(path string, t TLSConfig) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, usageError{faultError{fmt.Errorf("%s.ca_file: %w", path, err), "E606"}}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError{faultError{fmt.Errorf("%s.ca_file: %s holds no certificate in PEM form", path,
				t.CAFile), "E606"}}
		}
	}
	if t.CertFile != "" {
		pair := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			if err != nil {
				err = usageError{faultError{fmt.Errorf("%s.cert_file and key_file: %w", path, err), "E606"}}
			}
			return &pair, err
		}
		if _, err := pair(); err != nil {
			return nil, err
		}
		// Read at each handshake: certificates that a machine renews live for hours.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair() }
	}
	return c, nil
}

// TLSOn reports whether the brokers are spoken to over TLS.
func (k KafkaConfig) TLSOn() bool { return k.TLS.On(k.Auth == "msk_iam" || k.Auth == "mtls") }

// kafkaBrokers are the configured brokers, or those that MSK names for the login.
func kafkaBrokers(ctx context.Context, c Config) ([]string, error) {
	k := c.Kafka
	if k.MSKClusterARN == "" {
		return k.Brokers, nil
	}
	login := map[string]string{"msk_iam": "SaslIam", "scram_sha_512": "SaslScram", "mtls": "Tls"}[k.Auth]
	if login == "" && k.TLSOn() {
		login = "Tls"
	}
	return c.access().brokers(ctx, k.MSKClusterARN, login)
}

// kafkaOptions says how the cluster is reached: brokers, TLS, login, client id. What delivery depends on is
// the
// publisher's to add.
func kafkaOptions(ctx context.Context, c Config) ([]kgo.Opt, error) {
	k := c.Kafka
	brokers, err := kafkaBrokers(ctx, c)
	if err != nil {
		return nil, err
	}
	compression, err := publisher.Compression(codecs[k.Compression])
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.ClientID(k.ClientID), compression}
	if k.TLSOn() {
		config, err := tlsConfig("kafka.tls", k.TLS)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	password := func(ctx context.Context) (string, error) {
		secret, err := k.PasswordFrom.Resolve(ctx, c.access())
		if err != nil {
			err = fmt.Errorf("kafka.password_from: %w", err)
		}
		return string(secret), err
	}
	switch k.Auth {
	case "plain":
		opts = append(opts, kgo.SASL(plain.Plain(func(ctx context.Context) (plain.Auth, error) {
			pass, err := password(ctx)
			return plain.Auth{User: k.User, Pass: pass}, err
		})))
	case "scram_sha_256", "scram_sha_512":
		auth := func(ctx context.Context) (scram.Auth, error) {
			pass, err := password(ctx)
			return scram.Auth{User: k.User, Pass: pass}, err
		}
		mechanism := scram.Sha256(auth)
		if k.Auth == "scram_sha_512" {
			mechanism = scram.Sha512(auth)
		}
		opts = append(opts, kgo.SASL(mechanism))
	case "msk_iam":
		opts = append(opts, kgo.SASL(aws.ManagedStreamingIAM(c.access().mskLogin)))
	}
	return opts, nil
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}
