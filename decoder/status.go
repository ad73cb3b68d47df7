package decoder

import (
	"encoding/binary"
	"time"
)

const (
	// confirmInterval is how soon the server learns of a confirmed position that has moved.
	confirmInterval = 100 * time.Millisecond
	// nudgeInterval is how soon a walsender of Postgres 16 or later is woken from a sleep that it should
	// not sleep. It looks how far the WAL is flushed, then joins the condition variable on which commits
	// wake it (walsender.c, WalSndWaitForWal and WalSndWait): a commit in between wakes nobody, and would
	// wait for the next commit or the next message from us. Seen once in a thousand commits, for the whole
	// interval.
	nudgeInterval = 100 * time.Millisecond
	nudgeVersion  = 160000
	// replyGap spaces the answers to a server that asks again as soon as it was answered.
	replyGap = 10 * time.Millisecond
	// stormRate is how many demands for a reply a second mean that the server wants to shut down: in ordinary
	// life it asks once in half its wal_sender_timeout, and not at all of a client that speaks by itself.
	stormRate = 5
	// stormPatience is how long what was read may still be finished once the server wants to shut down.
	stormPatience = time.Second
)

// appendStatus appends a standby status update, which confirms flush:
//
//	'd' 1 | length 4 = 38 | 'r' 1 | write 8 | flush 8 | apply 8 | time 8 | reply requested 1
//
// A flush of 0 is sent as 0, which the server takes as no news: nothing but what is durable is ever put in
// its place.
func appendStatus(dst []byte, write, flush LSN, now time.Time, reply bool) []byte {
	dst = append(dst, 'd', 0, 0, 0, 38, 'r')
	dst = binary.BigEndian.AppendUint64(dst, uint64(write))
	dst = binary.BigEndian.AppendUint64(dst, uint64(flush))
	dst = binary.BigEndian.AppendUint64(dst, uint64(flush))
	dst = binary.BigEndian.AppendUint64(dst, uint64(now.UnixMicro()-postgresEpoch))
	if reply {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// pacer decides when a status is due, and whether the server wants to shut down. It has no clock of its own.
type pacer struct {
	interval time.Duration // between statuses when there is no reason for one
	last     time.Time     // when a status was last sent
	flush    LSN           // what it confirmed
	asked    bool          // the server wants a reply
	wanted   time.Time     // when we last wanted one
	nudge    bool          // the server may oversleep

	asks       int       // demands since asksSince
	asksSince  time.Time // start of the second that is counted
	stormSince time.Time // zero when there is no storm
}

// ask notes that the server wants a reply.
func (p *pacer) ask(now time.Time) {
	p.asked = true
	if now.Sub(p.asksSince) >= time.Second {
		if p.asks <= stormRate {
			p.stormSince = time.Time{}
		}
		p.asks, p.asksSince = 0, now
	}
	p.asks++
	if p.asks > stormRate && p.stormSince.IsZero() {
		p.stormSince = now
	}
}

// storm says whether demands for a reply are coming in a burst.
func (p *pacer) storm(now time.Time) bool {
	return !p.stormSince.IsZero() && now.Sub(p.asksSince) <= 2*time.Second
}

// shutdown says that a storm has lasted for as long as we go on for.
func (p *pacer) shutdown(now time.Time) bool {
	return p.storm(now) && now.Sub(p.stormSince) >= stormPatience
}

// due returns when the next status must be sent, given what may be confirmed now.
func (p *pacer) due(confirmed LSN) time.Time {
	switch {
	case p.asked:
		return p.last.Add(replyGap)
	case confirmed > p.flush && !p.stormSince.IsZero():
		return p.last.Add(replyGap)
	case confirmed > p.flush:
		return p.last.Add(min(confirmInterval, p.interval))
	case p.nudge:
		return p.last.Add(min(nudgeInterval, p.interval))
	}
	return p.last.Add(p.interval)
}

// sent notes a status that is sent now, and returns whether it should want a reply: once in an interval, so
// that the server shows that it is there and how far it has come.
func (p *pacer) sent(now time.Time, flush LSN) (reply bool) {
	reply = !p.asked && now.Sub(p.wanted) >= p.interval
	if reply {
		p.wanted = now
	}
	p.last, p.flush, p.asked = now, flush, false
	return reply
}
