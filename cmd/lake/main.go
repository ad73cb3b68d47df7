// Command lake takes the demo's database the whole way to a lake, on this machine and without containers:
// Postgres, tributary, Kafka with a schema registry, Kafka Connect with Apache Iceberg's sink, an S3 server,
// and DuckDB, which asks what the statements of deploy/athena ask. It runs the demo's nine statements, prints
// the eleven rows that a lake filled by a poller shows of them next to its own, and compares the lake with
// the tables.
//
// Guarantees:
//
//  1. Exit status 0 means that the present rows of each table, as the view of deploy/athena tells them from
//     the objects on S3, equal the table's, and that the log has each state that the statements made.
//     Anything else is exit status 1.
//  2. The connector is the one of deploy/connect, but for addresses, keys, folders and waiting times.
//  3. Nothing of it runs on when it ends; what was fetched stays in the cache.
//
// Ownership: it is the parent of all servers, and stops them.
//
// It needs Go, Java 21 or newer, Maven, and node with npm. The first run fetches about 500 MB. The
// arguments are the program to run and the directory deploy.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/tributary-cdc/tributary/deploy/local"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lake PATH-OF-TRIBUTARY PATH-OF-DEPLOY")
		os.Exit(2)
	}
	if err := whole(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "lake:", err)
		os.Exit(1)
	}
}

// whole starts everything, and runs the lake with the one sink that Maven Central has.
func whole(ctx context.Context, binary, deploy string) (err error) {
	cache, err := local.Cache()
	if err != nil {
		return err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	l, err := newLake(ctx, os.Stdout, binary, deploy, cache)
	if err != nil {
		return err
	}
	defer func() { err = l.close(ctx, err) }()
	if err := l.startServers(ctx); err != nil {
		return err
	}
	if err := l.begin(ctx, "pagila"); err != nil {
		return err
	}
	log := recipe{"iceberg-log", iceberg}
	if err := l.sink(ctx, log); err != nil {
		return err
	}
	if err := l.statements(ctx); err != nil {
		return err
	}
	_, err = l.verdict(ctx, log)
	return err
}
