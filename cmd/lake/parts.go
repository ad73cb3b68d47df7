package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// What is fetched, once, into the cache: from Maven Central, the Go module proxy and npm.

//go:embed pom/*.xml
var poms embed.FS

const (
	registry  = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
	s3Server  = "github.com/versity/versitygw/cmd/versitygw"
	s3Version = "v1.8.0"
	javaLeast = 21 // the registry's
)

// once fills a directory, unless it is there: a run that is interrupted leaves nothing that looks whole.
func once(dir string, fill func(parts string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parts := dir + ".parts"
	if err := errors.Join(os.RemoveAll(parts), os.MkdirAll(parts, 0o755)); err != nil {
		return err
	}
	if err := fill(parts); err != nil {
		return err
	}
	return os.Rename(parts, dir)
}

// run runs a program in a directory; what it says is only of interest when it fails.
func run(ctx context.Context, dir, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	command.Dir, command.Stdout, command.Stderr = dir, &out, &out
	if err := command.Run(); err != nil {
		said := strings.TrimSpace(out.String())
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, said[max(0, len(said)-2000):])
	}
	return nil
}

// jars fetches the libraries that one of the poms names, and returns their directory.
func (l *lake) jars(ctx context.Context, name string) (string, error) {
	pom, err := poms.ReadFile("pom/" + name + ".xml")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(l.cache, name+"-"+hash(pom)[:12])
	return dir, once(dir, func(parts string) error {
		l.say("fetching %s from Maven Central", name)
		file := filepath.Join(parts, "pom.xml")
		if err := os.WriteFile(file, pom, 0o600); err != nil {
			return err
		}
		return errors.Join(run(ctx, parts, "mvn", "-B", "-q", "-f", file, "dependency:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory="+parts), os.Remove(file))
	})
}

// archive fetches a tar.gz from Maven Central and unpacks it.
func (l *lake) archive(ctx context.Context, artifact string) (string, error) {
	part := strings.Split(artifact, ":")
	dir := filepath.Join(l.cache, part[1]+"-"+part[2])
	return dir, once(dir, func(parts string) error {
		l.say("fetching %s from Maven Central", part[1])
		if err := run(ctx, parts, "mvn", "-B", "-q", "dependency:copy", "-Dartifact="+artifact,
			"-DoutputDirectory="+parts); err != nil {
			return err
		}
		file := fmt.Sprintf("%s-%s-%s.tar.gz", part[1], part[2], part[4])
		if err := run(ctx, parts, "tar", "xzf", file); err != nil {
			return err
		}
		return os.Remove(filepath.Join(parts, file))
	})
}

// gateway builds the S3 server, and returns its program.
func (l *lake) gateway(ctx context.Context) (string, error) {
	dir := filepath.Join(l.cache, "versitygw-"+s3Version)
	return filepath.Join(dir, "versitygw"), once(dir, func(parts string) error {
		l.say("building the S3 server, which takes some minutes, once")
		return run(ctx, parts, "env", "GOBIN="+parts, "GOFLAGS=", "go", "install", s3Server+"@"+s3Version)
	})
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// java returns a Java that is new enough: of JAVA_HOME, of the PATH, or of where distributions put them.
func java(ctx context.Context) (string, error) {
	places := []string{filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java"), "java"}
	more, err := filepath.Glob("/usr/lib/jvm/*/bin/java")
	if err != nil {
		return "", err
	}
	for _, place := range append(places, more...) {
		said, err := exec.CommandContext(ctx, place, "-version").CombinedOutput()
		m := javaVersion.FindSubmatch(said)
		if err != nil || m == nil {
			continue // there is none
		}
		if major, err := strconv.Atoi(string(m[1])); err == nil && major >= javaLeast {
			return place, nil
		}
	}
	return "", fmt.Errorf("no Java %d or newer: set JAVA_HOME", javaLeast)
}
