package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	binary, delivery      string
	seed                  uint64
	rounds                int
	postgresBin           string // directory of initdb and pg_ctl
	kafka, registry       string
	kafkaKill, kafkaStart string // shell commands
	out, state            string
	scale                 float64 // of every duration of a fault
	bulk                  int     // rows of the largest transaction
	kafkaDisk             string  // directory on the broker's file system, to be filled
	patience              time.Duration
	faults                int // least in a round
	only                  string
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "bin/tributary", "the program under the drill")
	flag.StringVar(&s.delivery, "delivery", "exactly-once", "exactly-once or at-least-once")
	flag.Uint64Var(&s.seed, "seed", 1, "what the workload and the faults are drawn from")
	flag.IntVar(&s.rounds, "rounds", 10, "the number of the last round")
	flag.StringVar(&s.postgresBin, "postgres-bin", "", "directory of initdb and pg_ctl; empty fetches a server")
	flag.StringVar(&s.kafka, "kafka", "", "host:port of a real broker; empty is one in this process")
	flag.StringVar(&s.registry, "registry", "", "URL of a real registry; empty is one in this process")
	flag.StringVar(&s.kafkaKill, "kafka-kill", "", "shell command that kills the broker")
	flag.StringVar(&s.kafkaStart, "kafka-start", "", "shell command that starts it again and waits")
	flag.StringVar(&s.kafkaDisk, "kafka-disk", "", "directory on the broker's own small disk, to be filled")
	flag.IntVar(&s.faults, "faults", 4, "the least number of faults in a round; chance adds up to 8")
	flag.DurationVar(&s.patience, "patience", 5*time.Minute, "how long a pipeline may take to catch up")
	flag.StringVar(&s.out, "out", "drill.jsonl", "where a JSON line for each round is appended")
	flag.StringVar(&s.state, "state", "", "directory for logs; empty is a temporary one, which is kept")
	flag.Float64Var(&s.scale, "scale", 1, "factor on the length of every outage")
	flag.IntVar(&s.bulk, "bulk", 1_000_000, "rows of the largest transaction")
	flag.StringVar(&s.only, "only", "", "draw only faults whose name begins so")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(1)
	}
}
