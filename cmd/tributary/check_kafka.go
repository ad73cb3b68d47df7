package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tributary-cdc/tributary/schema"
)

// checkKafka asks the cluster; topics are those of the captured tables, nil when the source was not asked.
func checkKafka(ctx context.Context, c Config, topics []string, f *findings) {
	reached := 0
	brokers, err := kafkaBrokers(ctx, c)
	if err != nil {
		f.fail("brokers", err.Error(), "aws kafka get-bootstrap-brokers --cluster-arn "+c.Kafka.MSKClusterARN)
		return
	}
	c.Kafka.Brokers, c.Kafka.MSKClusterARN = brokers, "" // asked once
	for _, b := range c.Kafka.Brokers {
		if checkReach(ctx, f, b, "kafka.brokers") {
			reached++
		}
	}
	if reached == 0 {
		return
	}
	opts, err := kafkaOptions(ctx, c)
	if err != nil {
		f.fail("settings", err.Error(), "")
		return
	}
	if !checkKafkaTLS(ctx, c, f) {
		return
	}
	client, err := kgo.NewClient(append(opts, kgo.RetryTimeout(8*time.Second),
		kgo.DialTimeout(5*time.Second))...)
	if err != nil {
		f.fail("settings", err.Error(), "")
		return
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	meta, err := admin.BrokerMetadata(ctx)
	if err != nil {
		f.fail("login", kafkaReason(c, err), kafkaFix(c, err))
		return
	}
	f.ok("brokers", fmt.Sprintf("%s, login %s", count(len(meta.Brokers), "broker"), c.Kafka.Auth))
	for _, b := range meta.Brokers {
		checkReach(ctx, f, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)), "advertised.listeners of the broker")
	}
	if c.Topic.ReplicationFactor > len(meta.Brokers) {
		f.fail("replicas", fmt.Sprintf("topic.replication_factor is %d, but there are %d brokers",
			c.Topic.ReplicationFactor, len(meta.Brokers)),
			fmt.Sprintf("topic: {replication_factor: %d}", len(meta.Brokers)))
	}
	checkProducer(ctx, c, client, f)
	checkTopics(ctx, c, admin, topics, f)
	checkPosition(ctx, c, f)
}

// checkKafkaTLS shakes hands by itself, since through the client a broker that speaks no TLS looks like a
// broken
// connection.
func checkKafkaTLS(ctx context.Context, c Config, f *findings) bool {
	if !c.Kafka.TLSOn() {
		if c.Kafka.Auth == "plain" {
			f.warn("tls", "kafka.auth plain without TLS sends the password in clear", "kafka: {tls: {enabled: true}}")
		}
		return true
	}
	config, err := tlsConfig("kafka.tls", c.Kafka.TLS)
	if err != nil {
		f.fail("tls", err.Error(), "")
		return false
	}
	dialer := tls.Dialer{Config: config, NetDialer: &net.Dialer{Timeout: 5 * time.Second}}
	conn, err := dialer.DialContext(ctx, "tcp", c.Kafka.Brokers[0])
	if err != nil {
		if text, advice := certificateProblem(err, "kafka.tls.ca_file"); advice != "" {
			f.fail("tls", text, advice)
			return false
		}
		f.fail("tls", err.Error(), "openssl s_client -connect "+c.Kafka.Brokers[0]+"   # its CA goes into "+
			"kafka.tls.ca_file; "+
			"without TLS: kafka: {tls: {enabled: false}}")
		return false
	}
	f.ok("tls", "certificate verified")
	return conn.Close() == nil
}

func kafkaReason(c Config, err error) string {
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed) && c.Kafka.Auth == "msk_iam":
		return "the cluster refuses the role (MSK IAM): it lacks kafka-cluster:Connect, or is another account's"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "the cluster refuses user " + c.Kafka.User + " (SASL " + c.Kafka.Auth + ")"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "the cluster does not offer " + c.Kafka.Auth
	case strings.Contains(err.Error(), "remote error: tls:") && c.Kafka.TLS.CertFile == "":
		return "the broker wants a client's certificate, and none is configured: " + err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time: is the port one for TLS, or for another login?"
	}
	return err.Error()
}

func kafkaFix(c Config, err error) string {
	if errors.Is(err, kerr.SaslAuthenticationFailed) && c.Kafka.Auth == "msk_iam" {
		return "tributary check --only aws   # who this is; its policy must allow kafka-cluster:Connect on the " +
			"cluster"
	}
	if errors.Is(err, kerr.SaslAuthenticationFailed) {
		return "check kafka.user and what " + string(c.Kafka.PasswordFrom) + " holds"
	}
	if strings.Contains(err.Error(), "remote error: tls:") {
		return "kafka: {auth: mtls, tls: {cert_file: FILE, key_file: FILE}}   # of an authority that the broker " +
			"trusts"
	}
	return "kafka: {tls: {enabled: true}}   # or auth: plain, scram_sha_512, msk_iam, as the listener wants"
}

// checkProducer asks for a producer id, as the pipeline will, though under a name of its own: the pipeline's
// own
// would throw out one that runs.
func checkProducer(ctx context.Context, c Config, client *kgo.Client, f *findings) {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionTimeoutMillis = 1000
	if c.Delivery == "exactly-once" {
		id := "tributary/" + c.Pipeline + "/" + c.Source.Slot + "/check"
		request.TransactionalID = &id
	}
	response, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed),
		errors.Is(err, kerr.ClusterAuthorizationFailed):
		f.fail("producer", "writing "+c.Delivery+" is not allowed: "+err.Error(),
			"kafka-acls.sh --add --allow-principal User:NAME --operation Write --operation Describe "+
				"--transactional-id tributary/ "+
				"--resource-pattern-type prefixed")
	case err != nil:
		f.fail("producer", "no producer id: "+err.Error(), "")
	default:
		f.ok("producer", c.Delivery+" writing is allowed")
	}
}

// checkTopics finds out which topics exist, and asks whether the missing ones may be created.
func checkTopics(ctx context.Context, c Config, admin *kadm.Client, tables []string, f *findings) {
	names := append(append([]string(nil), tables...), c.Kafka.PositionTopic, c.Kafka.LedgerTopic)
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		f.fail("topics", err.Error(), "")
		return
	}
	var missing []string
	for _, name := range names {
		d := details[name]
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition), d.Topic == "":
			missing = append(missing, name)
		case d.Err != nil:
			f.fail("topic", name+": "+d.Err.Error(),
				"kafka-acls.sh --add --allow-principal User:NAME --operation Write --operation Describe --topic "+name)
		case c.Topic.Partitions > 0 && len(d.Partitions) != c.Topic.Partitions && isOneOf(name, tables):
			f.warn("topic", fmt.Sprintf("%s has %d partitions, not topic.partitions: it stays as it is", name,
				len(d.Partitions)), "")
		}
	}
	sort.Strings(missing)
	if len(missing) < len(names) {
		f.ok("topics", fmt.Sprintf("%s exist", count(len(names)-len(missing), "topic")))
	}
	checkCreation(ctx, c, admin, missing, f)
}

func checkCreation(ctx context.Context, c Config, admin *kadm.Client, missing []string, f *findings) {
	partitions, replicas := int32(c.Topic.Partitions), int16(c.Topic.ReplicationFactor)
	if partitions == 0 {
		partitions = -1
	}
	if replicas == 0 {
		replicas = -1
	}
	if len(missing) == 0 {
		return
	}
	if c.Topic.Create {
		responses, err := admin.ValidateCreateTopics(ctx, partitions, replicas, nil, missing...)
		if err != nil {
			f.fail("topics", "asking whether topics may be created: "+err.Error(), createLine(c, missing[0]))
			return
		}
		creatable := 0
		for _, r := range responses.Sorted() {
			if r.Err != nil && !errors.Is(r.Err, kerr.TopicAlreadyExists) {
				f.fail("topic", fmt.Sprintf("%s is missing and cannot be created: %s", r.Topic, r.Err),
					createLine(c, r.Topic))
				continue
			}
			creatable++
		}
		if creatable > 0 {
			f.ok("topics", fmt.Sprintf("%s can be created", count(creatable, "topic")))
		}
		return
	}
	for _, name := range missing {
		f.fail("topic", name+" is missing, and topic.create is false", createLine(c, name))
	}
}

// createLine is the command that creates a topic as run would.
func createLine(c Config, name string) string {
	line := "kafka-topics.sh --bootstrap-server " + c.Kafka.Brokers[0] + " --create --topic " + name
	policy := c.Topic.CleanupPolicy
	switch name {
	case c.Kafka.PositionTopic:
		return line + " --partitions 1 --config cleanup.policy=compact"
	case c.Kafka.LedgerTopic:
		policy = "delete"
	default:
		if c.Topic.Partitions > 0 {
			line += fmt.Sprintf(" --partitions %d", c.Topic.Partitions)
		}
	}
	if c.Topic.ReplicationFactor > 0 {
		line += fmt.Sprintf(" --replication-factor %d", c.Topic.ReplicationFactor)
	}
	if policy != "" {
		line += " --config cleanup.policy=" + policy
	}
	return line
}

// checkRegistry asks the schema registry for its subjects.
func checkRegistry(ctx context.Context, c Config, f *findings) {
	if !c.NeedsRegistry() {
		f.add(levelSkip, "registry", "keys and values are JSON", "")
		return
	}
	u, err := url.Parse(string(c.SchemaRegistry.URL))
	if err != nil {
		f.fail("address", "schema_registry.url cannot be read", "")
		return
	}
	port := textOr(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	if !checkReach(ctx, f, net.JoinHostPort(u.Hostname(), port), "schema_registry.url") {
		return
	}
	o, err := registryOptions(c)
	if err != nil {
		f.fail("settings", err.Error(), "")
		return
	}
	registry, err := schema.NewRegistry(o)
	if err == nil {
		err = registry.Ping(ctx)
	}
	if err != nil {
		fix := "curl -i " + strings.TrimSuffix(c.SchemaRegistry.URL.String(), "/") + "/subjects"
		if strings.Contains(err.Error(), "40") {
			fix += " -u " + textOr(c.SchemaRegistry.User, "USER")
		}
		if text, advice := certificateProblem(err, "schema_registry.tls.ca_file"); advice != "" {
			f.fail("tls", text, advice)
			return
		}
		f.fail("registry", err.Error(), fix)
		return
	}
	f.ok("registry", "answers")
}
