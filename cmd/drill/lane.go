package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// laneBytes is source.catch_up_bytes of most pipelines: after an outage they read through SQL.
	laneBytes = 1 << 20
	// intoLane is what an instance says when it begins to.
	intoLane = "far behind: reading through SQL"
	// standbyBytes is how much more than a round of the lane a standby must be ahead of the stream: with
	// failover slots the lane is not taken for less.
	standbyBytes = 72 << 20
)

// striker brings a fault about.
type striker = func(ctx context.Context, l *life, r *rand.Rand) error

// laneFaults strike a pipeline that is in the catch-up lane, twins one whose server has a standby.
func laneFaults(twins bool) []fault {
	all := []fault{
		{"kill in the lane", 3, killInLane},
		{"walsender terminated in the lane", 1, inLane(terminateWalsender)},
		{"postgres immediate in the lane", 2, inLane(restartPostgres("immediate"))},
	}
	if twins {
		all = append(all, fault{"promote in the lane", 2, inLane(promote)})
	}
	return all
}

// inLane brings a fault about while changes are read through SQL.
func inLane(strike striker) striker {
	return func(ctx context.Context, l *life, r *rand.Rand) error {
		if err := l.fallBehind(ctx); err != nil {
			return err
		}
		pause(ctx, time.Duration(r.IntN(1000))*time.Millisecond)
		return strike(ctx, l, r)
	}
}

// killInLane kills it there, and again on its next way in.
func killInLane(ctx context.Context, l *life, r *rand.Rand) error {
	if err := l.fallBehind(ctx); err != nil {
		return err
	}
	for range 1 + r.IntN(3) {
		pause(ctx, time.Duration(r.IntN(700))*time.Millisecond)
		if err := l.killAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fallBehind ends the instances, has the server write more than the lane asks for, and starts them. It
// returns when one reads through SQL.
func (l *life) fallBehind(ctx context.Context) error {
	if l.catchUp != laneBytes || l.standby != nil && !l.ready(ctx) {
		return errNotNow
	}
	for i := range l.fleet.members {
		if err := l.fleet.signal(ctx, i, syscall.SIGKILL, true); err != nil {
			return err
		}
	}
	bytes := 4 * laneBytes
	if l.standby != nil {
		bytes = standbyBytes
	}
	if err := l.backlog(ctx, bytes); err != nil {
		return err
	}
	before := l.fleet.said(intoLane)
	for i := range l.fleet.members {
		if err := l.fleet.start(i); err != nil {
			return err
		}
	}
	return l.fleet.says(ctx, intoLane, before, 30*time.Second)
}

// backlog writes WAL: published rows, and between them others that only have to be read.
func (l *life) backlog(ctx context.Context, bytes int) error {
	conn, err := pgconn.Connect(ctx, l.address())
	if err != nil {
		return err
	}
	defer closeSession(conn)
	const parts = 4
	for range parts {
		sql := bulkRows(500) + fmt.Sprintf(`; INSERT INTO drill.unpublished (pad)
			SELECT repeat('x', 1000) FROM generate_series(1, %d)`, bytes/parts/1000)
		if err := conn.Exec(ctx, sql).Close(); err != nil {
			return fmt.Errorf("write a backlog: %w", err)
		}
	}
	return nil
}
