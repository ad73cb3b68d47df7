package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/publisher"
)

// checkKafka asks the cluster; tables are what the source's part found, nil when it was not asked.
func checkKafka(ctx context.Context, c Config, tables []capture, f *findings) {
	reached := 0
	brokers, err := kafkaBrokers(ctx, c)
	if err != nil {
		f.fault("brokers", err, "aws kafka get-bootstrap-brokers --cluster-arn "+c.Kafka.MSKClusterARN)
		return
	}
	c.Kafka.Brokers, c.Kafka.MSKClusterARN = brokers, "" // asked once
	for _, b := range c.Kafka.Brokers {
		if checkReach(ctx, f, b, "kafka.brokers", "E201", "E202") {
			reached++
		}
	}
	if reached == 0 {
		return
	}
	opts, err := kafkaOptions(ctx, c)
	if err != nil {
		f.fault("settings", err, "")
		return
	}
	if !checkKafkaTLS(ctx, c, f) {
		return
	}
	client, err := kgo.NewClient(append(opts, kgo.RetryTimeout(8*time.Second),
		kgo.DialTimeout(5*time.Second))...)
	if err != nil {
		f.fault("settings", err, "")
		return
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	meta, err := admin.BrokerMetadata(ctx)
	if err != nil {
		f.add(kafkaCode(c, err), "login", kafkaReason(c, err), kafkaFix(c, err))
		return
	}
	f.ok("brokers", fmt.Sprintf("%s, login %s", count(len(meta.Brokers), "broker"), c.Kafka.Auth))
	checkAdvertised(ctx, c, meta.Brokers, f)
	if c.Topic.ReplicationFactor > len(meta.Brokers) {
		f.add("E211", "replicas", fmt.Sprintf("topic.replication_factor is %d, but there are %d brokers",
			c.Topic.ReplicationFactor, len(meta.Brokers)),
			fmt.Sprintf("topic: {replication_factor: %d}", len(meta.Brokers)))
	}
	checkProducer(ctx, c, client, f)
	checkTopics(ctx, c, admin, tables, meta.Brokers, f)
	checkWriting(ctx, c, opts, tables, f)
	checkPosition(ctx, c, f)
}

// kafkaCode is the code of a first request that failed. Where Kafka gave no answer, it has refused the login,
// or wants one.
func kafkaCode(c Config, err error) string {
	code := publisher.ErrorCode(err)
	switch {
	case code != "":
		return code
	case c.Kafka.Auth != "none" && errors.Is(err, io.EOF):
		return "E204"
	}
	return "E205"
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
	case errors.Is(err, io.EOF) && c.Kafka.Auth != "none":
		return "the cluster ends the connection at the login of user " + c.Kafka.User + " (SASL " +
			c.Kafka.Auth + ")"
	case errors.Is(err, io.EOF):
		return "the cluster ends the connection: the port is one for TLS, or for a login"
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
	if kafkaCode(c, err) == "E204" {
		return kafkaTool(c, "kafka-configs.sh") + " --describe --entity-type users " +
			"--entity-name " + c.Kafka.User + "   # then kafka.user and what " +
			string(c.Kafka.PasswordFrom) + " holds"
	}
	if strings.Contains(err.Error(), "remote error: tls:") {
		return "kafka: {auth: mtls, tls: {cert_file: FILE, key_file: FILE}}   # of an authority that the broker " +
			"trusts"
	}
	return "kafka: {tls: {enabled: true}}   # or auth: plain, scram_sha_512, msk_iam, as the listener wants"
}

// checkTopics finds out which topics exist, and asks whether the missing ones may be created.
func checkTopics(ctx context.Context, c Config, admin *kadm.Client, tables []capture,
	brokers kadm.BrokerDetails, f *findings,
) {
	keyless := map[string]bool{}
	var names []string
	for _, t := range tables {
		names, keyless[t.topic] = append(names, t.topic), !t.table.HasKey()
	}
	names = append(names, c.Kafka.PositionTopic, c.Kafka.LedgerTopic)
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		f.fault("topics", err, aclFix(c, err, ""))
		return
	}
	var missing, there []string
	for _, name := range names {
		d := details[name]
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition), d.Topic == "":
			missing = append(missing, name)
			continue
		case d.Err != nil:
			f.add(textOr(publisher.ErrorCode(d.Err), "E206"), "topic", name+": "+d.Err.Error(), aclFix(c, d.Err, name))
			continue
		case c.Topic.Partitions > 0 && len(d.Partitions) != c.Topic.Partitions && topicOfTable(tables, name):
			f.add("W221", "topic", fmt.Sprintf("%s has %d partitions, not topic.partitions: it stays as it is", name,
				len(d.Partitions)), fmt.Sprintf("topic: {partitions: %d}", len(d.Partitions)))
		}
		there = append(there, name)
	}
	sort.Strings(missing)
	if len(there) > 0 {
		f.ok("topics", fmt.Sprintf("%s exist", count(len(there), "topic")))
		checkTopicSettings(ctx, c, admin, there, details, keyless, f)
	}
	checkCreation(ctx, c, admin, missing, len(brokers), f)
	if c.Topic.Create && len(missing) > 0 {
		checkDefaults(ctx, c, admin, brokers, f)
	}
}

func topicOfTable(tables []capture, topic string) bool {
	return slices.ContainsFunc(tables, func(t capture) bool { return t.topic == topic })
}

// checkTopicSettings compares what existing topics are set to with what will be written to them. The right to
// see the settings is not needed to run, so a refusal only skips this.
func checkTopicSettings(ctx context.Context, c Config, admin *kadm.Client, names []string,
	details kadm.TopicDetails, keyless map[string]bool, f *findings,
) {
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		f.skip("topics", "their settings are not told: "+err.Error())
		return
	}
	set := kafkaTool(c, "kafka-configs.sh") + " --alter --topic %s --add-config %s"
	for _, topic := range configs {
		values := map[string]string{}
		for _, one := range topic.Configs {
			values[one.Key] = one.MaybeValue()
		}
		compact := strings.Contains(values["cleanup.policy"], "compact")
		if topic.Err != nil {
			f.skip("topic", topic.Name+": its settings are not told: "+topic.Err.Error())
			continue
		}
		if most, err := strconv.Atoi(values["max.message.bytes"]); err == nil &&
			most < int(c.Kafka.MaxRecordBytes) {
			f.add("W222", "topic", fmt.Sprintf("%s takes records of %d bytes, and kafka.max_record_bytes is %d",
				topic.Name, most, int(c.Kafka.MaxRecordBytes)),
				fmt.Sprintf(set, topic.Name, fmt.Sprintf("max.message.bytes=%d", int(c.Kafka.MaxRecordBytes)+4096)))
		}
		replicas := details[topic.Name].Partitions.NumReplicas()
		if least, err := strconv.Atoi(values["min.insync.replicas"]); err == nil && least > replicas &&
			replicas > 0 {
			// Kafka 4.3 asks for no more replicas than there are; older brokers refuse every record.
			f.at(levelWarn, "E226", "topic", fmt.Sprintf("%s has %s, and min.insync.replicas is %d", topic.Name,
				count(replicas, "replica"), least),
				fmt.Sprintf(set, topic.Name, fmt.Sprintf("min.insync.replicas=%d", replicas)))
		}
		switch {
		case keyless[topic.Name] && compact:
			f.add("W223", "topic", topic.Name+" is compacted, and its table has no key",
				fmt.Sprintf(set, topic.Name, "cleanup.policy=delete"))
		case topic.Name == c.Kafka.PositionTopic && !compact && values["cleanup.policy"] != "":
			f.add("E220", "topic", topic.Name+" has cleanup.policy="+values["cleanup.policy"],
				fmt.Sprintf(set, topic.Name, "cleanup.policy=compact"))
		}
	}
}

func checkCreation(ctx context.Context, c Config, admin *kadm.Client, missing []string, brokers int,
	f *findings,
) {
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
			f.add(textOr(publisher.ErrorCode(err), "E209"), "topics", "asking whether topics may be created: "+
				err.Error(), createLine(c, missing[0]))
			return
		}
		creatable := 0
		for _, r := range responses.Sorted() {
			if errors.Is(r.Err, kerr.InvalidReplicationFactor) && c.Topic.ReplicationFactor > brokers {
				continue // told of all topics at once
			}
			if r.Err != nil && !errors.Is(r.Err, kerr.TopicAlreadyExists) {
				fix := createLine(c, r.Topic)
				if line := aclFix(c, r.Err, r.Topic); line != "" {
					fix = line
				}
				f.add(textOr(publisher.ErrorCode(r.Err), "E209"), "topic", fmt.Sprintf("%s is missing and cannot be "+
					"created: %s", r.Topic, r.Err), fix)
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
		f.add("E209", "topic", name+" is missing, and topic.create is false", createLine(c, name))
	}
}

// createLine is the command that creates a topic as run would.
func createLine(c Config, name string) string {
	line := kafkaTool(c, "kafka-topics.sh") + " --create --topic " + name
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
