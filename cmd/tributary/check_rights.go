package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/tributary-cdc/tributary/publisher"
)

// checkProducer asks for a producer id, as the pipeline will, though under a name of its own: the pipeline's
// own would throw out one that runs.
func checkProducer(ctx context.Context, c Config, client *kgo.Client, f *findings) {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionTimeoutMillis = 1000
	if c.Delivery == "exactly-once" {
		id := "tributary/" + c.Pipeline + "/" + c.Source.Slot + "/check"
		request.TransactionalID = &id
	}
	err := initialized(ctx, client, request)
	if kerr.IsRetriable(err) {
		f.at(levelWarn, "E215", "producer", "whether writing "+c.Delivery+" is allowed is not told yet: "+
			err.Error(), checkAgain(c, "--only kafka"))
		return
	}
	if err != nil {
		f.add(textOr(publisher.ErrorCode(err), "E215"), "producer", "writing "+c.Delivery+" is not allowed: "+
			err.Error(), aclFix(c, err, ""))
		return
	}
	f.ok("producer", c.Delivery+" writing is allowed")
}

// initialized asks until the answer is one: a cluster that has seen no transaction makes room for them first.
func initialized(ctx context.Context, client *kgo.Client, request *kmsg.InitProducerIDRequest) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout*2/3)
	defer cancel()
	last := error(nil)
	for {
		response, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		if last != nil && ctx.Err() != nil {
			return last
		}
		if !kerr.IsRetriable(err) {
			return err
		}
		last = err
		if wait(ctx, 250*time.Millisecond) != nil {
			return last
		}
	}
}

// aclFix is the line that grants what a refusal names, empty where the catalogue says it. A topic under
// topic.prefix, or none in particular, is granted with all others there.
func aclFix(c Config, err error, topic string) string {
	if c.Kafka.Auth == "msk_iam" {
		return policyFix(c, err, topic)
	}
	line := kafkaTool(c, "kafka-acls.sh") + " --add --allow-principal User:" + textOr(c.Kafka.User, "USER")
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return line + " --operation Write --operation Describe --transactional-id tributary/ " +
			"--resource-pattern-type prefixed"
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return line + " --operation Create --operation IdempotentWrite --cluster"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		if topic != "" && !strings.HasPrefix(topic, c.Topic.Prefix) {
			return line + topicOperations + topic
		}
		return line + topicOperations + c.Topic.Prefix + " --resource-pattern-type prefixed"
	}
	return ""
}

// policyFix is aclFix for MSK, where the role's policy allows what ACLs do elsewhere.
func policyFix(c Config, err error, topic string) string {
	var actions, resource string
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		actions, resource = "AlterTransactionalId DescribeTransactionalId", "transactional-id/CLUSTER/*/tributary/*"
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		actions, resource = "Connect DescribeCluster WriteDataIdempotently CreateTopic", "cluster/CLUSTER/*"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		name := c.Topic.Prefix + "*"
		if topic != "" && !strings.HasPrefix(topic, c.Topic.Prefix) {
			name = topic
		}
		actions = "CreateTopic DescribeTopic DescribeTopicDynamicConfiguration WriteData ReadData"
		resource = "topic/CLUSTER/*/" + name
	default:
		return ""
	}
	list := `"kafka-cluster:` + strings.ReplaceAll(actions, " ", `","kafka-cluster:`) + `"`
	return "aws iam put-role-policy --role-name ROLE --policy-name tributary-more --policy-document " +
		`'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + list +
		`],"Resource":"arn:aws:kafka:REGION:ACCOUNT:` + resource + `"}]}'`
}

// topicOperations are what a pipeline does with its topics.
const topicOperations = " --operation Create --operation Write --operation Describe " +
	"--operation DescribeConfigs --operation Read --topic "

// nowhere is a partition that no topic has.
const nowhere = math.MaxInt32

// checkWriting asks whether records may be written, and writes none: a broker looks at the right first, and
// then for the partition, which is not there. That works for topics too that run is yet to create.
func checkWriting(ctx context.Context, c Config, opts []kgo.Opt, tables []capture, f *findings) {
	// Newer versions name topics by an id, which one that is missing has not.
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.MaxVersions(kversion.V3_9_0()),
		kgo.RetryTimeout(8*time.Second), kgo.DialTimeout(5*time.Second))...)
	if err != nil {
		f.fault("writing", err, "")
		return
	}
	defer client.Close()
	names := []string{c.Kafka.PositionTopic, c.Kafka.LedgerTopic}
	for _, t := range tables {
		names = append(names, t.topic)
	}
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 5000
	for _, name := range names {
		topic := kmsg.NewProduceRequestTopic()
		partition := kmsg.NewProduceRequestTopicPartition()
		topic.Topic, partition.Partition = name, nowhere
		partition.Records = emptyBatch()
		topic.Partitions = append(topic.Partitions, partition)
		request.Topics = append(request.Topics, topic)
	}
	response, err := client.SeedBrokers()[0].RetriableRequest(ctx, request)
	if err != nil {
		f.skip("writing", "whether records may be written is not told: "+err.Error())
		return
	}
	allowed := 0
	for _, topic := range response.(*kmsg.ProduceResponse).Topics {
		for _, partition := range topic.Partitions {
			err := kerr.ErrorForCode(partition.ErrorCode)
			switch {
			case errors.Is(err, kerr.UnknownTopicOrPartition):
				allowed++
			case errors.Is(err, kerr.TopicAuthorizationFailed):
				f.add("E206", "writing", "user "+textOr(c.Kafka.User, "of this connection")+
					" may not write to topic "+topic.Topic, aclFix(c, err, topic.Topic))
			default:
				f.skip("writing", fmt.Sprintf("to topic %s: the broker answers %v", topic.Topic, err))
			}
		}
	}
	if allowed > 0 {
		f.ok("writing", "to "+count(allowed, "topic")+" is allowed")
	}
}

// emptyBatch is a batch of no records, in the form that a broker reads before it looks for the partition.
func emptyBatch() []byte {
	batch := kmsg.NewRecordBatch()
	batch.PartitionLeaderEpoch, batch.Magic = -1, 2
	batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = -1, -1, -1
	batch.LastOffsetDelta = -1
	const beforeLength, beforeChecksum = 12, 21 // bytes; the checksum is of what follows it
	text := batch.AppendTo(nil)
	batch.Length = int32(len(text) - beforeLength)
	batch.CRC = int32(crc32.Checksum(text[beforeChecksum:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(nil)
}
