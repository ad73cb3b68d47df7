package local

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// StartKafka starts an in-process Kafka of one broker and returns its bootstrap address. It creates no
// topic by itself, keeps everything in memory, and its transactions complete without the delays of a real
// one. The caller calls stop; the data are gone then.
func StartKafka() (brokers string, stop func(), err error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return "", nil, fmt.Errorf("start in-process Kafka: %w", err)
	}
	return strings.Join(cluster.ListenAddrs(), ","), cluster.Close, nil
}
