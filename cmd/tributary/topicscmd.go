package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// shownTopic is a topic as `topics` shows it.
type shownTopic struct {
	Topic string `json:"topic"`
	// Table is whose records it holds, or what else it is for.
	Table  string `json:"table,omitempty"`
	Exists bool   `json:"exists"`
	// Offsets is how many offsets lie between the first and the last of all partitions: the records, and the
	// markers of transactions among them.
	Offsets int64 `json:"offsets"`
	// Bytes is the size on the disk of one replica of each partition; null where the broker does not tell.
	Bytes      *int64           `json:"bytes"`
	Cleanup    string           `json:"cleanup_policy,omitempty"`
	Subjects   []string         `json:"subjects,omitempty"`
	Partitions []shownPartition `json:"partitions"`
}

// shownPartition says what a partition holds: the offsets from First on and before End.
type shownPartition struct {
	Partition int32 `json:"partition"`
	First     int64 `json:"first"`
	End       int64 `json:"end"`
}

func (p *program) topicsCommand() *cobra.Command {
	var asJSON, partitions bool
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "List the pipeline's topics and what they hold",
		Long: "topics lists the topics of the captured tables, those that begin with\n" +
			"topic.prefix, and tributary's own, with partitions, offsets, size and cleanup\n" +
			"policy. Offsets count the markers of transactions too.",
		Example: "  tributary topics -c tributary.yaml\n" +
			"  tributary topics -c tributary.yaml --json | jq '.[] | select(.exists | not)'",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&partitions, "partitions", false, "print first and end offset of each partition too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := flags.load()
		if err != nil {
			return err
		}
		topics, err := listTopics(cmd.Context(), config)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(p.stdout, topics)
		}
		return writeTopics(p.stdout, topics, partitions)
	}
	return cmd
}

// listTopics asks the source which topics there should be, and Kafka which there are.
func listTopics(ctx context.Context, c Config) ([]shownTopic, error) {
	tables, err := openCaptured(ctx, c)
	if err != nil {
		return nil, err
	}
	defer tables.close()
	wanted := map[string]string{
		c.Kafka.PositionTopic: "(positions)", c.Kafka.LedgerTopic: "(ledger)",
	}
	if c.Heartbeat.Interval > 0 {
		wanted[heartbeatTopic(c)] = "(heartbeats)"
	}
	if c.Transactions.Metadata {
		wanted[transactionTopic(c)] = "(transactions)"
	}
	for _, t := range tables.tables {
		topic := tables.topic(t.Namespace, t.Name)
		wanted[topic] = strings.TrimPrefix(wanted[topic]+", "+t.String(), ", ")
	}
	options, err := kafkaOptions(ctx, c)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	defer client.Close()
	return askTopics(ctx, c, kadm.NewClient(client), wanted)
}

// askTopics puts together what Kafka says of the wanted topics, and of those that begin with the prefix.
func askTopics(ctx context.Context, c Config, admin *kadm.Client,
	wanted map[string]string,
) ([]shownTopic, error) {
	existing, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics of %s: %w", strings.Join(c.Kafka.Brokers, ", "), err)
	}
	var names []string
	var list []shownTopic
	for name, what := range wanted {
		one := shownTopic{Topic: name, Table: what, Exists: existing.Has(name), Partitions: []shownPartition{}}
		if one.Exists {
			names = append(names, name)
		}
		if c.NeedsRegistry() && !strings.HasPrefix(what, "(") {
			one.Subjects = []string{name + "-key", name + "-value"}
		}
		list = append(list, one)
	}
	for _, topic := range existing.Names() {
		if _, known := wanted[topic]; !known && strings.HasPrefix(topic, c.Topic.Prefix+c.Topic.Delimiter) {
			names = append(names, topic)
			list = append(list, shownTopic{Topic: topic, Exists: true, Partitions: []shownPartition{}})
		}
	}
	slices.SortFunc(list, func(a, b shownTopic) int { return cmp.Compare(a.Topic, b.Topic) })
	if len(names) == 0 {
		return list, nil
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("look up the start of topics: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("look up the end of topics: %w", err)
	}
	sizes, policies := topicSizes(ctx, admin, existing, names), cleanupPolicies(ctx, admin, names)
	for i := range list {
		list[i].fill(starts, ends)
		list[i].Bytes, list[i].Cleanup = sizes[list[i].Topic], policies[list[i].Topic]
	}
	return list, nil
}

// fill notes a topic's partitions, by number.
func (t *shownTopic) fill(starts, ends kadm.ListedOffsets) {
	for _, end := range ends[t.Topic] {
		start, found := starts.Lookup(t.Topic, end.Partition)
		if !found || start.Err != nil || end.Err != nil {
			continue // it has no leader at the moment, and so no offsets
		}
		t.Partitions = append(t.Partitions, shownPartition{end.Partition, start.Offset, end.Offset})
		t.Offsets += end.Offset - start.Offset
	}
	slices.SortFunc(t.Partitions, func(a, b shownPartition) int { return cmp.Compare(a.Partition, b.Partition) })
}

// topicSizes are the bytes of topics. A broker that refuses to tell, or an older one, gives none.
func topicSizes(ctx context.Context, admin *kadm.Client, existing kadm.TopicDetails,
	names []string,
) map[string]*int64 {
	var set kadm.TopicsSet
	for _, name := range names {
		set.Add(name, existing[name].Partitions.Numbers()...)
	}
	largest := map[string]map[int32]int64{}
	all, _ := admin.DescribeAllLogDirs(ctx, set) // what could be asked is there beside an error
	for _, dirs := range all {
		dirs.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if largest[p.Topic] == nil {
				largest[p.Topic] = map[int32]int64{}
			}
			largest[p.Topic][p.Partition] = max(largest[p.Topic][p.Partition], p.Size)
		})
	}
	sizes := map[string]*int64{}
	for name, partitions := range largest {
		sum := int64(0)
		for _, n := range partitions {
			sum += n
		}
		sizes[name] = &sum
	}
	return sizes
}

// cleanupPolicies are what becomes of old records, as far as the role may ask.
func cleanupPolicies(ctx context.Context, admin *kadm.Client, names []string) map[string]string {
	policies := map[string]string{}
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return policies
	}
	for _, config := range configs {
		for _, setting := range config.Configs {
			if setting.Key == "cleanup.policy" {
				policies[config.Name] = setting.MaybeValue()
			}
		}
	}
	return policies
}

func writeTopics(w io.Writer, topics []shownTopic, partitions bool) error {
	var b strings.Builder
	wide, table := len("topic"), len("table")
	for _, t := range topics {
		wide, table = max(wide, len(t.Topic)), max(table, len(t.Table))
	}
	const others = 41 // columns between topic and table
	wide = max(min(wide, usageColumns-others-table), len("topic"))
	row := func(topic, partitions, offsets, bytes, cleanup, table string) {
		b.WriteString(cell(topic, wide))
		b.WriteString(wrapFrom(fmt.Sprintf(" %5s %12s %10s  %-8s %s", partitions, offsets, bytes, cleanup, table),
			wide, usageColumns, 4) + "\n")
	}
	row("topic", "parts", "offsets", "size", "cleanup", "table")
	for _, t := range topics {
		if !t.Exists {
			row(t.Topic, "-", "not there", "-", "-", t.Table)
			continue
		}
		bytes := "-"
		if t.Bytes != nil {
			bytes = size(*t.Bytes)
		}
		row(t.Topic, fmt.Sprint(len(t.Partitions)), thousands(t.Offsets), bytes, textOr(t.Cleanup, "-"), t.Table)
		for _, p := range t.Partitions {
			if partitions {
				fmt.Fprintf(&b, "  partition %d: offsets %d to %d\n", p.Partition, p.First, p.End)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
