package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// servers are the addresses of everything that the lake is made of.
type servers struct {
	postgres string // URL of a superuser's database
	catalog  string // URL of the database that holds Iceberg's catalog
	brokers  string
	registry string // Confluent's API
	connect  string // a worker with the sinks
	s3       string
	// converter are the keys of a connector's configuration that say how the worker reads Avro; nil for those
	// of the recipes.
	converter map[string]string
}

// startServers starts them all on this machine, on ports that were free.
func (l *lake) startServers(ctx context.Context) error {
	program, err := java(ctx)
	if err != nil {
		return err
	}
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, string, []string) error{
		l.startPostgres, l.startS3, l.startKafka, l.startRegistry, l.startConnect,
	} {
		if err := step(ctx, program, ports); err != nil {
			return err
		}
	}
	return nil
}

// startPostgres starts the embedded server, with a second database for the catalog.
func (l *lake) startPostgres(ctx context.Context, _ string, _ []string) error {
	server, err := local.Start(ctx, local.Options{})
	if err != nil {
		return err
	}
	l.defers(func(context.Context) error { return server.Stop() })
	l.at.postgres = server.URL()
	l.at.catalog = strings.Replace(server.URL(), "/postgres?", "/iceberg?", 1)
	return execute(ctx, server.URL(), "CREATE DATABASE iceberg")
}

// startS3 starts the S3 server over a directory.
func (l *lake) startS3(ctx context.Context, _ string, ports []string) error {
	program, err := l.gateway(ctx)
	if err != nil {
		return err
	}
	data := filepath.Join(l.dir, "s3")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	l.at.s3 = "http://" + ports[0]
	return l.child(ctx, "s3", l.at.s3+"/health", exec.Command(program, "--access", s3Key, "--secret", s3Secret,
		"--region", s3Region, "--port", ports[0], "--health", "/health", "--quiet", "posix", data))
}

// kafkaProperties is a broker and a controller in one process.
const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`

// startKafka starts a broker.
func (l *lake) startKafka(ctx context.Context, program string, ports []string) error {
	jars, err := l.jars(ctx, "kafka")
	if err != nil {
		return err
	}
	file := filepath.Join(l.dir, "kafka.properties")
	properties := fmt.Sprintf(kafkaProperties, ports[1], ports[2], filepath.Join(l.dir, "kafka"))
	if err := os.WriteFile(file, []byte(properties), 0o600); err != nil {
		return err
	}
	const cluster = "dHJpYnV0YXJ5LWxha2UtMQ" // any 16 bytes
	if err := run(ctx, l.dir, program, "-cp", jars+"/*", "kafka.tools.StorageTool", "format", "-t", cluster,
		"-c", file); err != nil {
		return err
	}
	l.at.brokers = ports[1]
	return l.child(ctx, "kafka", "tcp://"+ports[1], exec.Command(program, "-Xmx512m", "-cp", jars+"/*",
		"kafka.Kafka", file))
}

// startRegistry starts Apicurio's registry, whose Confluent API tributary uses.
func (l *lake) startRegistry(ctx context.Context, program string, ports []string) error {
	dir, err := l.archive(ctx, registry)
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(ports[3], ":")
	_, management, _ := strings.Cut(ports[4], ":")
	address := "http://" + ports[3]
	l.at.registry, l.at.converter = address+"/apis/ccompat/v7", apicurio(address+"/apis/registry/v2")
	return l.child(ctx, "registry", l.at.registry+"/subjects", exec.Command(program, "-Xmx512m",
		"-Dquarkus.http.host="+host, "-Dquarkus.http.port="+port, "-Dquarkus.management.host="+host,
		"-Dquarkus.management.port="+management, "-jar", filepath.Join(dir, "quarkus-run.jar")))
}

// workerProperties is a Connect worker with topics of its own.
const workerProperties = `bootstrap.servers=%s
group.id=lake
listeners=http://%s
plugin.path=%s
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.storage.topic=connect-configs
config.storage.replication.factor=1
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=1
`

// startConnect starts a worker with the Iceberg sink and Apicurio's converter.
func (l *lake) startConnect(ctx context.Context, program string, ports []string) error {
	var dirs [3]string
	for i, name := range []string{"kafka", "iceberg", "converter"} {
		dir, err := l.jars(ctx, name)
		if err != nil {
			return err
		}
		dirs[i] = dir
	}
	// The worker looks for plugins in the directories below the ones that it is given.
	plugins := filepath.Join(l.dir, "plugins")
	err := errors.Join(os.Mkdir(plugins, 0o755), os.Symlink(dirs[1], filepath.Join(plugins, "iceberg")),
		os.Symlink(dirs[2], filepath.Join(plugins, "converter")))
	if err != nil {
		return err
	}
	file := filepath.Join(l.dir, "worker.properties")
	properties := fmt.Sprintf(workerProperties, l.at.brokers, ports[5], plugins)
	if err := os.WriteFile(file, []byte(properties), 0o600); err != nil {
		return err
	}
	l.at.connect = "http://" + ports[5]
	return l.child(ctx, "connect", l.at.connect+"/connectors", exec.Command(program, "-Xmx1g", "-cp",
		dirs[0]+"/*", "org.apache.kafka.connect.cli.ConnectDistributed", file))
}

// child starts a server and waits until it answers: with HTTP status 200, or a connection for tcp://.
func (l *lake) child(ctx context.Context, name, address string, command *exec.Cmd) error {
	l.say("starting %s", name)
	file := filepath.Join(l.dir, name+".log")
	log, err := os.Create(file)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	command.Dir = l.dir
	process, err := local.StartProcess(command, log)
	if err != nil {
		return err
	}
	var over bool
	l.defers(func(context.Context) error {
		if over {
			return nil
		}
		return errors.Join(process.Kill()) // nothing of it is kept
	})
	return l.within(ctx, startPatience, "an answer of "+name, func() error {
		if err := process.Ended(); err != nil {
			over = true
			return stop{fmt.Errorf("%s ended: %w; its log ends:\n%s", name, err, local.Tail(file))}
		}
		return answers(ctx, address)
	})
}

// answers asks a server once.
func answers(ctx context.Context, address string) error {
	if target, found := strings.CutPrefix(address, "tcp://"); found {
		conn, err := net.DialTimeout("tcp", target, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// freePorts returns addresses of this machine that nobody listens at, all different.
func freePorts(n int) ([]string, error) {
	var all []string
	for len(all) < n {
		port, err := local.FreePort()
		if err != nil {
			return nil, err
		}
		if address := fmt.Sprintf("127.0.0.1:%d", port); !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all, nil
}
