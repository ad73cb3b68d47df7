package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// version is set by the linker from the tag that was built.
var version = ""

// build says which program this is.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

// readBuild asks the binary itself.
func readBuild() build {
	b := build{Version: version}
	info, found := debug.ReadBuildInfo()
	if !found {
		return b
	}
	b.Go = info.GoVersion
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

// buildInfo is the metric that says which program this is.
func buildInfo() prometheus.Collector {
	b := readBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tributary_build_info", Help: "Which program this is; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
	})
	info.Set(1)
	return info
}

func (p *program) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which program this is",
		Example: "  tributary version\n  tributary version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			if asJSON {
				return json.NewEncoder(p.stdout).Encode(b)
			}
			revision := b.Revision
			if revision != "" {
				revision = " (" + revision[:min(12, len(revision))] + ")"
			}
			_, err := fmt.Fprintf(p.stdout, "tributary %s%s %s\n", b.Version, revision, b.Go)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
