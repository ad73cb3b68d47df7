package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// anchorOptions says what is kept behind the slot, so that replay and rewind can read it.
func (p *pipeline) anchorOptions() decoder.AnchorOptions {
	return decoder.AnchorOptions{
		Connect: p.connect, Slot: p.Config.Source.Slot, Keep: int64(p.Config.Replay.Keep), Logger: p.Log,
	}
}

// keepAnchor looks after the anchor while the pipeline works. Whatever befalls it stops nothing.
func (p *pipeline) keepAnchor(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.stopped, cancel)()
	p.cleanRewind(ctx)
	p.anchor.Run(ctx)
	return nil
}

// cleanRewind drops what a rewind may have left that was killed behind its last step: with the slot held
// and no rewind under way nobody needs it. Where that fails, check names it.
func (p *pipeline) cleanRewind(ctx context.Context) {
	conn, err := p.ordinary(ctx)
	if err != nil {
		return
	}
	defer closeConn(conn)
	name := decoder.SiblingName(p.Config.Source.Slot, rewindSuffix)
	if err := decoder.DropSlot(ctx, conn, name); err != nil {
		p.Log.Info("slot left by a rewind not dropped", "slot", name, "err", err)
	}
}

// rewindPending says that a rewind must be finished before anything else is done.
func rewindPending(stored *publisher.Stored) error {
	return &publisher.RewindError{
		Key: stored.Pipeline + "/" + stored.Slot, To: stored.Rewind.To, Began: stored.Rewind.Began,
	}
}

func anchorStatus(now decoder.AnchorStatus) statusAnchor {
	s := statusAnchor{
		Slot: now.Name, KeepBytes: now.Keep, RetainedBytes: now.RetainedBytes,
		Advances: now.Advances, ReadBytes: now.ReadBytes, AdvanceSeconds: now.Took.Seconds(),
		Problem: now.Problem,
	}
	if now.Confirmed > 0 {
		s.Confirmed = now.Confirmed.String()
	}
	return s
}

// writeAnchor tells of the anchor in the text of a status.
func writeAnchor(w io.Writer, a statusAnchor) {
	switch {
	case a.Confirmed != "":
		fmt.Fprintf(w, "replay    from %s  %s of WAL retained", a.Confirmed, size(a.RetainedBytes))
	case a.Problem == "":
		return
	default:
		fmt.Fprint(w, "replay    not possible")
	}
	if a.Advances > 0 {
		fmt.Fprintf(w, "  moved %d times: %s read in %s", a.Advances, size(a.ReadBytes),
			time.Duration(a.AdvanceSeconds*float64(time.Second)).Round(time.Millisecond))
	}
	fmt.Fprintln(w)
	if a.Problem != "" {
		fmt.Fprintln(w, "warning: anchor "+a.Slot+": "+a.Problem)
	}
}

// slotCollector gives the metrics that only the server knows, as the status last saw them.
type slotCollector struct{ board *board }

var (
	retainedDesc = prometheus.NewDesc("tributary_slot_retained_wal_bytes",
		"WAL that the slot keeps from being removed.", nil, nil)
	anchorRetainedDesc = prometheus.NewDesc("tributary_anchor_retained_wal_bytes",
		"WAL that the anchor, the slot for replay, keeps from being removed; absent where none is kept.", nil, nil)
	anchorUsableDesc = prometheus.NewDesc("tributary_anchor_usable",
		"Whether the past can be published again from the anchor; absent where none is kept.", nil, nil)
	limitDesc = prometheus.NewDesc("tributary_slot_limit_bytes",
		"WAL that the slot may keep before it is lost or given up; absent without a limit.", nil, nil)
	limitSecondsDesc = prometheus.NewDesc("tributary_slot_limit_seconds",
		"Time until the slot keeps as much WAL as it may, should it go on as in the last five minutes; "+
			"absent while it does not come nearer.", nil, nil)
	anchorReadDesc = prometheus.NewDesc("tributary_anchor_read_bytes_total",
		"WAL that the server has read to move the anchor.", nil, nil)
	anchorTookDesc = prometheus.NewDesc("tributary_anchor_advance_seconds_total",
		"How long moving the anchor has taken.", nil, nil)
	laneDesc = prometheus.NewDesc("tributary_source_lane",
		"1 for the way that the slot is read: live, or catch-up when far behind.", []string{"lane"}, nil)
	catchUpsDesc = prometheus.NewDesc("tributary_source_catch_ups",
		"How often the catch-up lane was taken since the source was connected.", nil, nil)
	reopenedDesc = prometheus.NewDesc("tributary_source_reopened",
		"How often the replication connection was opened anew for it.", nil, nil)
)

// Describe lists the metrics.
func (c slotCollector) Describe(out chan<- *prometheus.Desc) {
	out <- retainedDesc
	out <- anchorRetainedDesc
	out <- anchorUsableDesc
	out <- limitDesc
	out <- limitSecondsDesc
	out <- anchorReadDesc
	out <- anchorTookDesc
	out <- laneDesc
	out <- catchUpsDesc
	out <- reopenedDesc
}

// Collect reads the present status.
func (c slotCollector) Collect(out chan<- prometheus.Metric) {
	s := c.board.Status()
	tell := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	tell(retainedDesc, prometheus.GaugeValue, float64(s.Lag.RetainedBytes))
	if s.Anchor.KeepBytes > 0 && leads(&s) {
		tell(anchorRetainedDesc, prometheus.GaugeValue, float64(s.Anchor.RetainedBytes))
		tell(anchorUsableDesc, prometheus.GaugeValue, truth(s.Anchor.Confirmed != "" && s.Anchor.Problem == ""))
	}
	if f := s.Forecast; f != nil && f.LimitBytes != nil {
		tell(limitDesc, prometheus.GaugeValue, float64(*f.LimitBytes))
		if f.Seconds != nil {
			tell(limitSecondsDesc, prometheus.GaugeValue, *f.Seconds)
		}
	}
	tell(anchorReadDesc, prometheus.CounterValue, float64(s.Anchor.ReadBytes))
	tell(anchorTookDesc, prometheus.CounterValue, s.Anchor.AdvanceSeconds)
	if s.Source.Lane != "" {
		tell(laneDesc, prometheus.GaugeValue, 1, s.Source.Lane)
	}
	tell(catchUpsDesc, prometheus.GaugeValue, float64(s.Source.CatchUps))
	tell(reopenedDesc, prometheus.GaugeValue, float64(s.Source.Reopened))
}
