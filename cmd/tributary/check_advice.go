package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/schema"
)

// ownCommand is a command of this program with the flags that lead to the same configuration.
func ownCommand(c Config, words string) string {
	return strings.Join(append([]string{"tributary " + words}, c.command...), " ")
}

// parameterFix sets a parameter of RDS in the group that the server has, which AWS is asked for by the
// server's address.
func (s serverFacts) parameterFix(c Config, parameter string) string {
	host, _, _ := strings.Cut(sourceAddress(c.Source.URL), ":")
	kind, asked := "", fmt.Sprintf("describe-db-instances --query \"DBInstances[?Endpoint.Address=='%s']."+
		"DBParameterGroups[0].DBParameterGroupName\"", host)
	if s.isAurora { // there it is the cluster's
		kind, asked = "cluster-", fmt.Sprintf("describe-db-clusters --query \"DBClusters[?Endpoint=='%s']."+
			"DBClusterParameterGroup\"", host)
	}
	return fmt.Sprintf("aws rds modify-db-%[1]sparameter-group --db-%[1]sparameter-group-name "+
		"\"$(aws rds %[2]s --output text)\" --parameters %[3]s", kind, asked, parameter)
}

// checkAgain is a check with the same flags and one more, to be pasted.
func checkAgain(c Config, more string) string {
	return ownCommand(c, "check") + " " + more
}

// psqlLine is psql on the source, with another database where one is named. psql asks for the password.
func psqlLine(c Config, database string) string {
	host, port, _ := net.SplitHostPort(sourceAddress(c.Source.URL))
	return fmt.Sprintf("psql 'host=%s port=%s user=%s dbname=%s'", host, port, sourceUser(c.Source.URL),
		textOr(database, sourceDatabase(c.Source.URL)))
}

// tablesFix is what to do about patterns that match no table: the name that was meant, or how to see all.
func tablesFix(ctx context.Context, c Config, conn *pgconn.PgConn) string {
	fix := psqlLine(c, "") + ` -c '\dt *.*'   # source.tables names them as schema.table`
	results, err := conn.Exec(ctx, `SELECT schemaname || '.' || tablename FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LIMIT 1000`).ReadAll()
	if err != nil || len(results) == 0 {
		return fix // it only finds the word that was meant
	}
	var names []string
	for _, row := range results[0].Rows {
		names = append(names, string(row[0]))
	}
	for _, pattern := range c.Source.Tables {
		if !pattern.Exact() || isOneOf(pattern.String(), names) {
			continue
		}
		if meant := didYouMean(pattern.String(), names); meant != "" {
			return fix + meant
		}
	}
	return fix
}

// registryPaths are where registries have Confluent's API.
var registryPaths = []string{"/apis/ccompat/v7", "/apis/registry/v2/ccompat", ""}

// registryPath finds the API of a registry whose URL has not its path, empty when it is nowhere there.
func registryPath(ctx context.Context, o schema.RegistryOptions, err error) string {
	var refused *schema.RegistryError
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		return ""
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return ""
	}
	for _, path := range registryPaths {
		u.Path = path
		o.URL = u.String()
		registry, err := schema.NewRegistry(o)
		if err == nil && registry.Ping(ctx) == nil {
			return u.Redacted()
		}
	}
	return ""
}

// checkListen says whether the status page's address is free, or taken by this very pipeline, which runs.
func checkListen(ctx context.Context, c Config, f *findings) {
	listener, err := listen(ctx, c.HTTP.Listen)
	switch {
	case err == nil && listener == nil:
		f.skip("listen", "http.listen is empty: no status is served")
	case err == nil:
		_ = listener.Close() // it was free
		f.ok("listen", c.HTTP.Listen+" is free")
	case servesPipeline(ctx, c):
		f.ok("listen", c.HTTP.Listen+" is that of the pipeline, which runs")
	default:
		f.fault("listen", err, "")
	}
}

// servesPipeline says whether the pipeline of the configuration answers at its address.
func servesPipeline(ctx context.Context, c Config) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil {
		return false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+net.JoinHostPort(host, port)+"/api/v1/status", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var s status
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&s)
	return err == nil && s.Pipeline == c.Pipeline
}
