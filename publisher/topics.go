package publisher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
)

const (
	// topicPause is between two questions about a topic that cannot be answered now.
	topicPause = 100 * time.Millisecond
	// topicVisible bounds how long a topic just made may stay unknown to the brokers.
	topicVisible = 30 * time.Second
)

// TopicOptions say how topics are made that are missing.
type TopicOptions struct {
	// NoCreate makes a missing topic an error.
	NoCreate bool
	// Partitions and ReplicationFactor of tables' topics; 0 is the broker's default. ReplicationFactor also
	// holds for the position and the ledger topic, which have one partition.
	Partitions, ReplicationFactor int
	// CleanupPolicy is cleanup.policy of tables' topics; empty is the broker's default.
	CleanupPolicy string
	// Config holds more settings of tables' topics by Kafka's names.
	Config map[string]string
}

// topic is a topic in use.
type topic struct {
	name  string
	index int // in order of first use
	// partitions is how many it had at first use. Keys keep their partition while the publisher runs, also
	// when somebody adds some; only a restart uses those.
	partitions int32
	owner      string // the table, or what else it holds
}

// topics finds topics, and makes those that are missing. The methods belong to one goroutine at a time.
type topics struct {
	o      *Options
	client *kgo.Client
	admin  *kadm.Client
	seeds  []string

	byName map[string]*topic
	own    map[string]int32 // partitions of the position and the ledger topic; written by open only

	mu       sync.Mutex // guards warnings
	warnings []string
}

// newTopics returns an empty set.
func newTopics(o *Options, client *kgo.Client) *topics {
	seeds, _ := client.OptValue(kgo.SeedBrokers).([]string)
	return &topics{
		o: o, client: client, admin: kadm.NewClient(client), seeds: seeds,
		byName: make(map[string]*topic), own: make(map[string]int32),
	}
}

// topicPlan is what a topic is made with.
type topicPlan struct {
	partitions, replication int
	config                  map[string]string
}

// plan returns what the topics of tables are made with.
func (o *TopicOptions) plan() topicPlan {
	config := maps.Clone(o.Config)
	if o.CleanupPolicy != "" {
		if config == nil {
			config = make(map[string]string)
		}
		config["cleanup.policy"] = o.CleanupPolicy
	}
	return topicPlan{o.Partitions, o.ReplicationFactor, config}
}

// ensure returns a topic for the records of owner, made if it is missing.
func (t *topics) ensure(ctx context.Context, name, owner string) (*topic, error) {
	known := t.byName[name]
	if known != nil && known.owner != owner && (t.o.Shared == nil || !t.o.Shared(name)) {
		return nil, &CollisionError{Topic: name, First: known.owner, Second: owner}
	}
	partitions, err := t.exists(ctx, name, t.o.Topics.plan())
	if err != nil {
		return nil, err
	}
	if known != nil {
		if partitions != known.partitions {
			t.warn("topic %s has %d partitions now, %d are in use until a restart; then keys move to other partitions",
				name, partitions, known.partitions)
		}
		return known, nil
	}
	made := &topic{name: name, index: len(t.byName), partitions: partitions, owner: owner}
	t.byName[name] = made
	return made, nil
}

// ensureOwn makes the position topic or the ledger topic if it is missing.
func (t *topics) ensureOwn(ctx context.Context, name string) error {
	policy := "delete"
	if name == t.o.PositionTopic {
		policy = "compact"
	}
	plan := topicPlan{1, t.o.Topics.ReplicationFactor, map[string]string{"cleanup.policy": policy}}
	partitions, err := t.exists(ctx, name, plan)
	if err != nil {
		return err
	}
	t.own[name] = partitions
	return nil
}

// partitionsOf returns how many partitions one of our own topics has.
func (t *topics) partitionsOf(name string) int32 { return max(t.own[name], 1) }

// exists returns how many partitions a topic has, after making it if need be. While the cluster cannot be
// reached it asks again, until ctx ends.
func (t *topics) exists(ctx context.Context, name string, plan topicPlan) (int32, error) {
	created, told := time.Time{}, false
	for {
		partitions, err := t.ask(ctx, name)
		switch {
		case err == nil:
			if created.IsZero() {
				return partitions, t.compare(ctx, name, partitions, plan)
			}
			return partitions, nil
		case ctx.Err() != nil:
			return 0, fmt.Errorf("look up topic %s: %w", name, context.Cause(ctx))
		case errors.Is(err, kerr.UnknownTopicOrPartition) && created.IsZero():
			if err := t.create(ctx, name, plan); err != nil {
				return 0, err
			}
			created = time.Now()
			continue
		case errors.Is(err, kerr.UnknownTopicOrPartition) && time.Since(created) > topicVisible:
			return 0, &AgainError{Doing: "make topic " + name, Err: err}
		case isAuthorization(err):
			return 0, &RecordError{Topic: name, Err: err, Advice: "grant Describe on the topic (MSK: DescribeTopic)"}
		case errors.Is(err, kerr.InvalidTopicException):
			return 0, &RecordError{Topic: name, Err: err, Advice: "route it to a name of letters, digits, '.', '_' " +
				"and '-', at most 249 of them"}
		case created.IsZero() && !told:
			told = true
			t.o.Logger.Warn("no answer from Kafka, waiting for it", "topic", name, "err", err)
		}
		if err := pauseFor(ctx, topicPause); err != nil {
			return 0, fmt.Errorf("look up topic %s: %w", name, err)
		}
	}
}

// pauseFor waits, but not longer than ctx.
func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask asks once. It goes past the client's cached metadata, in which a topic just made stays unknown for
// seconds.
func (t *topics) ask(ctx context.Context, name string) (int32, error) {
	request := kmsg.NewPtrMetadataRequest()
	wanted := kmsg.NewMetadataRequestTopic()
	wanted.Topic = &name
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(ctx, t.client)
	if err != nil {
		return 0, err
	}
	for _, found := range response.Topics {
		if found.Topic == nil || *found.Topic != name {
			continue
		}
		if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
			return 0, err
		}
		if len(found.Partitions) == 0 {
			return 0, kerr.LeaderNotAvailable
		}
		return int32(len(found.Partitions)), nil
	}
	return 0, kerr.UnknownTopicOrPartition
}

// create makes a topic, or says with which command a person does.
func (t *topics) create(ctx context.Context, name string, plan topicPlan) error {
	refused := &TopicError{Topic: name, Command: t.command(name, plan)}
	if t.o.Topics.NoCreate {
		refused.Err = errors.New("it does not exist, and topics are not to be created")
		return refused
	}
	config := make(map[string]*string, len(plan.config))
	for key, value := range plan.config {
		config[key] = &value
	}
	_, err := t.admin.CreateTopic(ctx, int32(orDefault(plan.partitions)), int16(orDefault(plan.replication)),
		config, name)
	switch {
	case err == nil:
		t.o.Logger.Info("topic created", "topic", name, "partitions", plan.partitions)
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists): // somebody else was faster
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("make topic %s: %w", name, context.Cause(ctx))
	case errors.As(err, new(*kerr.Error)) && !kerr.IsRetriable(err):
		refused.Err = fmt.Errorf("it does not exist, and Kafka refuses to make it: %w", err)
		return refused
	}
	return &AgainError{Doing: "make topic " + name, Err: err}
}

// orDefault returns -1, Kafka's word for its default, for 0.
func orDefault(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// command returns the line that makes a topic.
func (t *topics) command(name string, plan topicPlan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s --create --topic %s", t.tool("kafka-topics.sh"), name)
	if plan.partitions > 0 {
		b.WriteString(" --partitions " + strconv.Itoa(plan.partitions))
	}
	if plan.replication > 0 {
		b.WriteString(" --replication-factor " + strconv.Itoa(plan.replication))
	}
	for _, key := range slices.Sorted(maps.Keys(plan.config)) {
		fmt.Fprintf(&b, " --config %s=%s", key, plan.config[key])
	}
	return b.String()
}

// tool begins a command line of Kafka's: with a file of client settings where the brokers want TLS or a
// login, which such a tool takes from nowhere else.
func (t *topics) tool(name string) string {
	line := name + " --bootstrap-server " + strings.Join(t.seeds, ",")
	encrypted, _ := t.client.OptValue(kgo.DialTLS).(bool)
	if logins, _ := t.client.OptValue(kgo.SASL).([]sasl.Mechanism); encrypted || len(logins) > 0 {
		line += " --command-config FILE"
	}
	return line
}

// compare tells how an existing topic differs from what it would be made with. It is never altered; only a
// position topic that forgets positions is refused.
func (t *topics) compare(ctx context.Context, name string, partitions int32, plan topicPlan) error {
	if plan.partitions > 0 && int(partitions) != plan.partitions {
		t.warn("topic %s has %d partitions, configured are %d", name, partitions, plan.partitions)
	}
	if len(plan.config) == 0 {
		return nil
	}
	configs, err := t.admin.DescribeTopicConfigs(ctx, name)
	if err != nil || len(configs) != 1 || configs[0].Err != nil {
		return nil // the right to see them is not needed
	}
	for _, key := range slices.Sorted(maps.Keys(plan.config)) {
		for _, found := range configs[0].Configs {
			if found.Key != key || found.MaybeValue() == plan.config[key] {
				continue
			}
			if name == t.o.PositionTopic && !strings.Contains(found.MaybeValue(), "compact") {
				return &TopicError{
					Topic: name,
					Err: codedError{fmt.Errorf("%s is %s, so that Kafka deletes the stored positions one day", key,
						found.MaybeValue()), codeForgets},
					Command: fmt.Sprintf("%s --alter --topic %s --add-config %s=compact", t.tool("kafka-configs.sh"), name,
						key),
				}
			}
			t.warn("topic %s has %s=%s, configured is %s", name, key, found.MaybeValue(), plan.config[key])
		}
	}
	return nil
}

// warn tells a person something that stops nothing.
func (t *topics) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.warnings, text) {
		return
	}
	t.warnings = append(t.warnings, text)
	t.o.Logger.Warn("topic differs", "warning", text)
}

// warned returns all warnings so far.
func (t *topics) warned() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.warnings)
}
