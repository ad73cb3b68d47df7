package tidy

// limit is a number with its reason.
type limit struct {
	max    int
	reason string
}

// The sizes.
var (
	functionLines = limit{70, "a function is read on one screen, its comment aside"}
	fileLines     = limit{500, "a file is one noun; what needs more is two"}
	lineColumns   = limit{110, "two files stand side by side; a tab counts as one"}
	makefileLines = limit{64, "the Makefile is the table of contents of what can be done, not a program"}
	readmeLines   = limit{250, "who wants more reads the package documentation"}
)

// goStatements is how many goroutines each package starts: go statements, and calls of a Go method with a
// function. Packages that are not listed start none. The number is exact, so that one more is a decision.
var goStatements = map[string]limit{
	"cmd/drill":    {10, "writers, links, and the waits for processes"},
	"cmd/bench":    {4, "a yardstick's stream, writers and consumer of the latency cases, the tidying up"},
	"cmd/demo":     {1, "the burst's writer"},
	"deploy/local": {1, "the wait for a child's end"},
	// run: source, publisher, watch, anchor, heartbeat and the stop; a replay's four; the commands' own.
	"cmd/tributary": {19, "what works beside the data path in run and replay, and the status server"},
	"snapshot":      {1, "workers, which end together"},
	"publisher":     {1, "the delivery beside the encoding"},
	"decoder":       {6, "a hold, a probe, a look, a creation that is watched, and the same of a copy"},
}

// onDataPath are the packages in which a change is passed on or the process stops: nothing is logged and
// forgotten.
var onDataPath = []string{"decoder", "snapshot", "publisher"}

// loggedAndGoneOn are the functions, as package.function, that log an error and go on for a reason.
var loggedAndGoneOn = map[string]string{
	"decoder.tell": "an anchor is for convenience: whatever befalls it must not stop the stream",
}

// module is this module's path.
const module = "github.com/tributary-cdc/tributary/"

// imports is the import graph: what each package may import beside the standard library, and why. Tests may
// import what the table of dependencies allows. The edges that are missing here are missing on purpose: -
// schema imports nothing of ours: it is the vocabulary of all others; - decoder imports no connection pool
// and no value types: it decodes bytes, and text stays text; - snapshot and publisher never meet: they
// speak through batches, in the channel that cmd/tributary makes; - nothing but the demo and tests imports
// deploy/local: no test server is in the released program.
var imports = map[string]map[string]string{
	"schema": {
		"github.com/hamba/avro/v2":       "parses and compares Avro schemas",
		"github.com/riferrei/srclient":   "speaks with the registry, in registry.go only",
		"golang.org/x/sync/singleflight": "asks the registry once for many, in registry.go only",
	},
	"decoder": {
		module + "schema":                      "a change is a row of a relation",
		"github.com/jackc/pglogrepl":           "replication commands",
		"github.com/jackc/pgx/v5/pgconn":       "the replication connection",
		"github.com/jackc/pgx/v5/pgproto3":     "its messages",
		"golang.org/x/sys/unix":                "wide socket reads",
		"github.com/prometheus/client_golang/": "metrics are defined where the fact is",
	},
	"snapshot": {
		module + "schema":                      "relations and rows",
		module + "decoder":                     "a snapshot's row is a change at a position",
		"github.com/jackc/pgx/v5":              "catalog queries",
		"github.com/jackc/pgx/v5/pgconn":       "reading rows as text",
		"github.com/jackc/pgx/v5/pgproto3":     "its messages",
		"golang.org/x/sync/errgroup":           "workers that end together",
		"github.com/prometheus/client_golang/": "metrics are defined where the fact is",
	},
	"publisher": {
		module + "schema":                      "codecs and schema ids",
		module + "decoder":                     "batches and LSNs",
		"github.com/twmb/franz-go/":            "producer, admin client and their messages",
		"github.com/prometheus/client_golang/": "metrics are defined where the fact is",
	},
	"cmd/tributary": {
		module + "schema":                      "the wiring knows all parts",
		module + "decoder":                     "the wiring knows all parts",
		module + "snapshot":                    "the wiring knows all parts",
		module + "publisher":                   "the wiring knows all parts",
		"github.com/jackc/pgx/v5":              "connections from configuration",
		"github.com/twmb/franz-go/":            "clients from configuration",
		"github.com/hamba/avro/v2":             "tail decodes what was published",
		"github.com/spf13/":                    "commands and their flags",
		"github.com/jackc/pgx/v5/pgconn":       "connections from configuration",
		"github.com/goccy/go-yaml":             "the configuration file",
		"github.com/goccy/go-yaml/":            "the configuration file",
		"github.com/prometheus/client_golang/": "serving the metrics",
		module + "cmd/tributary/audit":         "the comparison behind verify",
		module + "cmd/tributary/page":          "the status page",
		"golang.org/x/sync/errgroup":           "parts that end together",
		"golang.org/x/term":                    "is this a terminal",
		module + "deploy/sql":                  "init prints the scripts that prepare a source",
		"github.com/aws/aws-sdk-go-v2/":        "who we are in AWS, and signatures",
		"go.opentelemetry.io/otel":             "spans of delivery windows, in traces.go",
		"go.opentelemetry.io/otel/":            "spans of delivery windows, in traces.go",
		"github.com/go-logr/logr":              "keeps OpenTelemetry's libraries from logging secrets",
	},
	"cmd/tributary/page": {},
	"deploy/sql":         {},
	"cmd/tributary/audit": {
		module + "schema":           "what a row should look like in its topic",
		module + "decoder":          "LSNs and positions",
		module + "publisher":        "the ledger record",
		"github.com/twmb/avro":      "decoding with a library that tributary does not encode with",
		"github.com/twmb/franz-go/": "records, and the client's own partitioner",
	},
	"cmd/bench": {
		module + "schema":            "the yardstick decodes as the lane does",
		module + "decoder":           "the yardstick reads as the lane does",
		module + "deploy/local":      "a registry in this process for ten thousand tables",
		"github.com/jackc/pgx/v5/":   "backlogs, slots and the writers of the latency cases",
		"github.com/twmb/franz-go/":  "how far the topics have come, and a consumer",
		"golang.org/x/sync/errgroup": "writers that end together",
	},
	"cmd/demo": {
		module + "deploy/local":     "the servers",
		module + "deploy/local/":    "the tables and statements",
		"github.com/jackc/pgx/v5/":  "filling and reading the tables",
		"github.com/twmb/franz-go/": "a consumer of its own",
		"golang.org/x/term":         "is this a terminal",
	},
	"cmd/lake": {
		module + "deploy/local":         "Postgres, and children that are watched",
		module + "deploy/local/":        "the tables and statements",
		"github.com/jackc/pgx/v5":       "Iceberg's catalog, the tables",
		"github.com/jackc/pgx/v5/":      "Iceberg's catalog, the tables",
		"github.com/twmb/avro":          "Iceberg's manifests, and objects in Avro",
		"github.com/twmb/avro/":         "Iceberg's manifests, and objects in Avro",
		"github.com/twmb/franz-go/pkg/": "topics and groups",
	},
	"cmd/drill": {
		module + "deploy/local":           "Postgres, and what is not real",
		"github.com/Shopify/toxiproxy/v2": "links that fail",
		"github.com/rs/zerolog":           "silences toxiproxy",
		"github.com/jackc/pgx/v5/pgconn":  "the workload's sessions, and the journal",
		"github.com/twmb/franz-go/pkg/":   "a reader of its own, and brokers under another address",
	},
	"cmd/tidy": {},
	"deploy/local/pagila": {
		"github.com/jackc/pgx/v5/": "filling and reading the tables",
	},
	"deploy/local": {
		"github.com/fergusstrange/embedded-postgres": "Postgres from Maven Central",
		"github.com/twmb/franz-go/pkg/":              "in-process Kafka and registry",
		"github.com/hamba/avro/v2":                   "the registry's compatibility check",
		"github.com/jackc/pgx/v5/pgconn":             "making and dropping databases",
		"github.com/twmb/avro":                       "decoding with a library that tributary does not encode with",
	},
}

// oneFile names the only file of a package that may import a path.
var oneFile = map[string]string{
	"github.com/riferrei/srclient":   "schema/registry",
	"golang.org/x/sync/singleflight": "schema/registry",
}

// dependencies are the modules that this one names itself, each with its reason. Another one needs a
// sentence here.
var dependencies = map[string]string{
	"github.com/aws/aws-sdk-go-v2":                  "signatures of requests to AWS",
	"github.com/aws/aws-sdk-go-v2/config":           "AWS's default chain of credentials",
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth": "IAM tokens for RDS",
	"github.com/aws/aws-sdk-go-v2/service/sts":      "whom AWS takes us for; config brings it",

	"github.com/go-logr/logr":  "the only logger that OpenTelemetry's libraries take",
	"go.opentelemetry.io/otel": "traces: attributes, and where errors go",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc": "traces over gRPC",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp": "traces over HTTP",
	"go.opentelemetry.io/otel/sdk":                                    "traces: batches, samplers",
	"go.opentelemetry.io/otel/trace":                                  "traces: spans and links",
	"go.opentelemetry.io/proto/otlp":                                  "test of the traces",
	"google.golang.org/grpc":                                          "test of the traces",
	"google.golang.org/protobuf":                                      "test of the traces",

	"github.com/chromedp/cdproto":                "test of the status page: a browser's settings and complaints",
	"github.com/chromedp/chromedp":               "test of the status page in a real browser",
	"github.com/Shopify/toxiproxy/v2":            "drill: links that are cut, late and slow",
	"github.com/fergusstrange/embedded-postgres": "tests and demo: a Postgres server without an installation",
	"github.com/goccy/go-yaml":                   "configuration, with errors that show line and column",
	"github.com/hamba/avro/v2":                   "schema parsing and compatibility",
	"github.com/jackc/pglogrepl":                 "replication commands",
	"github.com/jackc/pgx/v5":                    "Postgres connections and catalog queries",
	"github.com/prometheus/client_golang":        "metrics",
	"github.com/riferrei/srclient":               "the schema registry's client",
	"github.com/rs/zerolog":                      "drill: silences toxiproxy, which takes no other logger",
	"github.com/spf13/cobra":                     "commands",
	"github.com/spf13/pflag":                     "flags of cobra's, visited for the configuration",
	"github.com/twmb/avro":                       "verify and tests: an Avro decoder that is not the encoder",
	"github.com/twmb/franz-go":                   "the Kafka producer",
	"github.com/twmb/franz-go/pkg/kadm":          "topics",
	"github.com/twmb/franz-go/pkg/kfake":         "tests and demo: Kafka in the process",
	"github.com/twmb/franz-go/pkg/kmsg":          "Kafka messages that kadm has no call for",
	"github.com/twmb/franz-go/pkg/sr":            "tests and demo: a registry in the process (srfake)",
	"golang.org/x/sync":                          "errgroup",
	"golang.org/x/sys":                           "socket options",
	"golang.org/x/term":                          "is this a terminal",
}
