package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// KafkaFiles are the program files of a Kafka broker on this machine.
type KafkaFiles struct {
	java, classPath string
	logging         string // its logging's setting, empty for none
}

// KafkaProgram finds the program files of the broker that listens at an address of this machine, by the
// command lines of the processes: whoever has a real broker has what another one with other listeners needs.
func KafkaProgram(address string) (KafkaFiles, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return KafkaFiles{}, err
	}
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err != nil {
			continue // it has ended meanwhile, or is somebody else's
		}
		words := strings.Split(string(text), "\x00")
		var found KafkaFiles
		broker := false
		for i, word := range words {
			switch {
			case word == "-cp" && i+1 < len(words):
				found.java, found.classPath = words[0], words[i+1]
			case strings.HasPrefix(word, "-Dlog4j2.configurationFile="):
				found.logging = word
			case word == "kafka.Kafka":
				broker = true
			}
		}
		// The shell that watches over a broker of Start names all of its words too.
		if broker && filepath.Base(found.java) == "java" {
			return found, nil
		}
	}
	return KafkaFiles{}, fmt.Errorf("find the program files of the Kafka at %s: no such process on this machine",
		address)
}

// brokerScript starts a broker and kills it at the end of its input, which comes when the pipe is closed or
// the process that holds its other end is gone.
const brokerScript = `log=$1; shift
"$@" >"$log" 2>&1 </dev/null &
broker=$!
cat >/dev/null
kill -9 $broker
wait $broker 2>/dev/null`

// Start formats the storage that a configuration names, with SCRAM users as Kafka's own tool writes them
// (MECHANISM=[name=...,password=...]), starts a broker, and returns when it says that it runs. stop kills it;
// it ends with this process too.
func (k KafkaFiles) Start(ctx context.Context, config string, users ...string) (stop func(), err error) {
	args := []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", k.classPath}
	if k.logging != "" {
		args = append(args, k.logging)
	}
	format := append(append([]string(nil), args...), "kafka.tools.StorageTool", "format", "-t",
		"bG9jYWwtdGVzdC1rYWZrYQ", "-c", config)
	for _, user := range users {
		format = append(format, "--add-scram", user)
	}
	if text, err := exec.CommandContext(ctx, k.java, format...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the storage of Kafka: %w: %s", err, text)
	}
	log := filepath.Join(filepath.Dir(config), "broker.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		return nil, err
	}
	watcher := exec.Command("/bin/sh", append([]string{"-c", brokerScript, "sh", log, k.java},
		append(args, "kafka.Kafka", config)...)...)
	hold, err := watcher.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := watcher.Start(); err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	stop = func() {
		// It is to be gone, and how it went says nothing.
		_ = hold.Close()
		_ = watcher.Wait()
	}
	if err := awaitLine(ctx, log, "Kafka Server started", 4*time.Minute); err != nil {
		stop()
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	return stop, nil
}

// awaitLine waits until a file holds a text.
func awaitLine(ctx context.Context, file, want string, limit time.Duration) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), want) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("after %s its log does not say %q: %s", limit, want, text[max(0, len(text)-2000):])
		}
	}
}

// tools are the classes of Kafka's own scripts.
var tools = map[string]string{
	"kafka-acls.sh":    "org.apache.kafka.tools.AclCommand",
	"kafka-configs.sh": "kafka.admin.ConfigCommand",
	"kafka-topics.sh":  "org.apache.kafka.tools.TopicCommand",
}

// Tool runs one of Kafka's scripts, as its operator would.
func (k KafkaFiles) Tool(ctx context.Context, script string, args ...string) error {
	class, known := tools[script]
	if !known {
		return fmt.Errorf("run %s: not one of the scripts that are known here", script)
	}
	line := []string{"-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", k.classPath, class}
	if text, err := exec.CommandContext(ctx, k.java, append(line, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", script, err, text)
	}
	return nil
}
