package main

import (
	"errors"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// observe looks at every streamed change for what concerns snapshots: a signal, and a row that a snapshot
// under way will have to read again. What comes of it is stored with the change's batch. The stream's
// goroutine calls it, which is that of follow.
func (p *pipeline) observe(b *decoder.Batch, c *decoder.Change) {
	if p.observed != nil {
		return // follow is about to end with it
	}
	changed := false
	if p.signals != nil && c.Op == schema.OpCreate && p.signals.isSignal(c.Relation) {
		changed = p.signal(c)
	}
	if p.notes != nil {
		noted, err := p.notes.Observe(c)
		var restart *snapshot.RestartError
		if errors.As(err, &restart) {
			p.Log.Warn("rows of a table come twice", "err", restart)
		}
		changed = changed || noted
		if noted {
			p.observed = p.keepNotes()
		}
	}
	if !changed || p.observed != nil {
		return
	}
	b.Progress, p.observed = p.jobs.encode()
}

// keepNotes puts what was noted into the progress of the snapshot that it is for.
func (p *pipeline) keepNotes() error {
	text, err := p.notes.Progress()
	if err == nil {
		_, err = p.jobs.advance(p.noted, text)
	}
	return err
}

// reopenNotes begins to note for the snapshot that is under way, if some of a table was read and some was
// not. An error that observe met is told here.
func (p *pipeline) reopenNotes() (err error) {
	if p.observed != nil {
		return p.observed
	}
	p.notes = nil
	list, _ := p.jobs.list()
	if len(list) == 0 {
		return nil
	}
	p.noted = list[0].ID
	p.notes, err = snapshot.OpenNotes(list[0].Progress)
	return err
}
