package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// checkKafkaTLS shakes hands by itself, since through the client a broker that speaks no TLS looks like a
// broken connection.
func checkKafkaTLS(ctx context.Context, c Config, f *findings) bool {
	if !c.Kafka.TLSOn() {
		if c.Kafka.Auth == "plain" {
			f.add("W224", "tls", "kafka.auth plain without TLS sends the password in clear",
				"kafka: {tls: {enabled: true}}")
		}
		return true
	}
	config, err := tlsConfig("kafka.tls", c.Kafka.TLS)
	if err != nil {
		f.fault("tls", err, "")
		return false
	}
	return shakesHands(ctx, config, c.Kafka.Brokers[0], f)
}

// shakesHands opens TLS to a broker, and says what is in the way.
func shakesHands(ctx context.Context, config *tls.Config, address string, f *findings) bool {
	dialer := tls.Dialer{Config: config, NetDialer: &net.Dialer{Timeout: 5 * time.Second}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		left := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter.UTC()
		f.ok("tls", address+": certificate verified, until "+left.Format(time.DateOnly))
		return conn.Close() == nil
	}
	probe := "openssl s_client -connect " + address
	if text, advice := certificateProblem(err, "kafka.tls.ca_file", probe); advice != "" {
		f.add("E203", "tls", address+": "+text, advice)
		return false
	}
	var header tls.RecordHeaderError
	var network net.Error
	if errors.Is(err, io.EOF) || errors.As(err, &header) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &network) && network.Timeout() {
		f.add("E203", "tls", address+" shakes no hands: the port speaks no TLS ("+err.Error()+")",
			"kafka: {tls: {enabled: false}}   # or the port of a listener that speaks TLS")
		return false
	}
	f.add("E203", "tls", address+": "+err.Error(), probe+" </dev/null | openssl x509 -noout -dates -issuer"+
		"   # its CA: kafka.tls.ca_file; without TLS: kafka: {tls: {enabled: false}}")
	return false
}

// checkAdvertised asks each broker under the name that it gives itself: the client goes there, whatever the
// configuration calls it.
func checkAdvertised(ctx context.Context, c Config, brokers kadm.BrokerDetails, f *findings) {
	config, err := tlsConfig("kafka.tls", c.Kafka.TLS)
	for _, b := range brokers {
		address := net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
		reached := checkReach(ctx, f, address, "advertised.listeners of the broker", "E218", "E218")
		if reached && c.Kafka.TLSOn() && err == nil && address != c.Kafka.Brokers[0] {
			shakesHands(ctx, config, address, f)
		}
	}
}

// checkDefaults looks at what the brokers give a new topic where the configuration leaves it to them.
func checkDefaults(ctx context.Context, c Config, admin *kadm.Client, brokers kadm.BrokerDetails,
	f *findings,
) {
	configs, err := admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err == nil && len(configs) == 1 {
		err = configs[0].Err
	}
	if err != nil || len(configs) != 1 {
		f.skip("defaults", fmt.Sprintf("the brokers' settings for new topics are not told: %v", err))
		return
	}
	values := map[string]string{}
	for _, one := range configs[0].Configs {
		values[one.Key] = one.MaybeValue()
	}
	number := func(name string) int { n, _ := strconv.Atoi(values[name]); return n } // 0 where it is not told
	partitions, replicas := c.Topic.Partitions, c.Topic.ReplicationFactor
	if partitions == 0 {
		partitions = number("num.partitions")
	}
	if replicas == 0 {
		replicas = number("default.replication.factor")
	}
	if c.Topic.ReplicationFactor == 0 && replicas == 1 && len(brokers) > 1 {
		f.add("W225", "defaults", fmt.Sprintf("default.replication.factor is 1, of %d brokers", len(brokers)),
			fmt.Sprintf("topic: {replication_factor: %d}", min(3, len(brokers))))
	}
	if least := number("min.insync.replicas"); least > replicas && replicas > 0 {
		f.at(levelWarn, "E226", "defaults", fmt.Sprintf("new topics get %s, and the brokers' min.insync.replicas "+
			"is %d", count(replicas, "replica"), least), fmt.Sprintf("topic: {replication_factor: %d}", least))
	}
	if most := number("message.max.bytes"); most > 0 && most < int(c.Kafka.MaxRecordBytes) &&
		c.Topic.Config["max.message.bytes"] == "" {
		f.add("W222", "defaults", fmt.Sprintf("new topics take records of %d bytes (message.max.bytes), and "+
			"kafka.max_record_bytes is %d", most, int(c.Kafka.MaxRecordBytes)),
			fmt.Sprintf("topic: {config: {max.message.bytes: '%d'}}", int(c.Kafka.MaxRecordBytes)+4096))
	}
	policy := textOr(c.Topic.CleanupPolicy, textOr(values["log.cleanup.policy"], "of the broker"))
	f.ok("defaults", fmt.Sprintf("new topics get %s, %s, cleanup.policy %s", count(partitions, "partition"),
		count(replicas, "replica"), policy))
}

// kafkaTool begins a command line of Kafka's: with a file of client settings where the brokers want TLS or a
// login, which such a tool takes from nowhere else.
func kafkaTool(c Config, name string) string {
	line := name + " --bootstrap-server " + c.Kafka.Brokers[0]
	if c.Kafka.TLSOn() || c.Kafka.Auth != "none" {
		line += " --command-config FILE"
	}
	return line
}
