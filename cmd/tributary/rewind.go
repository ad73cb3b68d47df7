package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
)

// rewindStep names what a rewind has just done, behind which a crash must be harmless.
type rewindStep string

// The steps of a rewind, in order. What was done is seen from the slots and the stored position, so that
// the same command goes on behind any of them.
const (
	rewindCopied   rewindStep = "copied"   // the new slot stands where the pipeline is to go on
	rewindStored   rewindStep = "stored"   // the position says that a rewind is under way: nothing streams
	rewindDropped  rewindStep = "dropped"  // the old slot is gone
	rewindReplaced rewindStep = "replaced" // the new one has its name
	rewindMoved    rewindStep = "moved"    // the position is the new one, of a new epoch: the pipeline may run
)

func (p *program) rewindCommand() *cobra.Command {
	var toLSN, toTime string
	var dry, yes bool
	cmd := &cobra.Command{
		Use:   "rewind",
		Short: "Move the stopped pipeline back, so that it publishes the past again",
		Long: "rewind has the pipeline go on behind an earlier position: the next run publishes\n" +
			"everything behind it again, to the same topics, in a new epoch of position and\n" +
			"ledger. The pipeline must be stopped. Killed at any step, the same command\n" +
			"finishes what was begun; until then run refuses to start.",
		Example: "  tributary rewind -c tributary.yaml --to-lsn 0/16B3748 --dry-run\n" +
			"  tributary rewind -c tributary.yaml --to-time 2026-01-31T15:04:05Z --yes",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	set := cmd.Flags()
	set.StringVar(&toLSN, "to-lsn", "", "go on behind this `LSN`, 0/16B3748 or as a number")
	set.StringVar(&toTime, "to-time", "", "go on with the first transaction committed at this `TIME` or later")
	set.BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	set.BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		to, err := parsePoint("to", toLSN, toTime, time.Now())
		if err != nil {
			return err
		}
		if !to.given() {
			return usageError{errors.New("name where to go on: --to-lsn LSN or --to-time TIME " +
				"(tributary positions shows what there is)")}
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		return p.rewind(cmd.Context(), config, to, dry, yes)
	}
	return cmd
}

// rewind plans, asks and does it.
func (p *program) rewind(ctx context.Context, config Config, to point, dry, yes bool) error {
	w, err := openPast(ctx, config)
	if err != nil {
		return err
	}
	defer w.close()
	r := &rewinder{past: w, done: func(rewindStep) error { return nil }}
	if err := r.plan(ctx, to); err != nil {
		return err
	}
	if r.over {
		fmt.Fprintf(p.stdout, "the pipeline is at %s already\n", r.to.lsn)
		return r.clean(ctx)
	}
	_, until := w.window()
	fmt.Fprintf(p.stdout, "rewind     %s, slot %s\n", config.Pipeline, config.Source.Slot)
	if r.begun {
		fmt.Fprintf(p.stdout, "begun      earlier, goes on\n")
	} else {
		fmt.Fprintf(p.stdout, "published  %s\n", until)
	}
	fmt.Fprintf(p.stdout, "back to    %s\n", r.to.lsn)
	if until > r.to.lsn {
		fmt.Fprintf(p.stdout, "again      what committed in between, %s of WAL\n", size(int64(until-r.to.lsn)))
	}
	if dry {
		fmt.Fprintln(p.stdout, "nothing was changed")
		return nil
	}
	if !yes {
		if err := p.confirm("Publish it all again?"); err != nil {
			return err
		}
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "done       tributary run goes on behind %s, in epoch %d\n", r.to.lsn,
		w.stored.Epoch+1)
	return nil
}

// rewinder is one rewind.
type rewinder struct {
	*past
	to start
	// begun says that an earlier call has stored what is to be done, over that it has done it all.
	begun, over bool
	failover    bool
	// done is told of each step; its error is a crash there.
	done func(rewindStep) error
}

// plan decides where to, or says why not.
func (r *rewinder) plan(ctx context.Context, to point) error {
	c, s := r.config, r.stored
	if s == nil {
		return needsPerson{fmt.Errorf("rewind %s: no position is stored: nothing was published yet", c.Pipeline)}
	}
	if s.Rewind != nil {
		if to.lsn != 0 && to.lsn != s.Rewind.To {
			return needsPerson{rewindPending(s)}
		}
		if s.Identity.SystemID != r.system.ID {
			return r.known()
		}
		r.begun, r.to, r.failover = true, start{s.Rewind.To, s.Rewind.LastCommit}, s.Rewind.Failover
		return nil
	}
	if r.main != nil && r.main.Active {
		return fmt.Errorf("the pipeline must be stopped first: %w", &decoder.SlotBusyError{
			Slot: r.main.Name, PID: r.main.ActivePID,
		})
	}
	if done, err := s.Done(); err != nil || !done {
		return errors.Join(err, needsPerson{fmt.Errorf("rewind %s: its snapshot is not finished: tributary run "+
			"finishes it", c.Pipeline)})
	}
	if r.main != nil && to.lsn != 0 && s.Resume == to.lsn && r.main.Confirmed == to.lsn && s.Split == nil {
		r.to, r.over = start{to.lsn, s.LastCommit}, true
		return nil
	}
	var err error
	if r.to, err = r.locate(ctx, to); err != nil {
		return err
	}
	r.failover = r.main.Failover
	return r.main.Usable(r.system.Database)
}

func (r *rewinder) name() string { return decoder.SiblingName(r.config.Source.Slot, rewindSuffix) }

// run does what is left to do.
func (r *rewinder) run(ctx context.Context) error {
	if r.begun && r.main != nil && r.main.Confirmed < r.to.lsn {
		return needsPerson{fmt.Errorf("rewind to %s: slot %s stands at %s, before it: somebody else has made or "+
			"moved it", r.to.lsn, r.main.Name, r.main.Confirmed)}
	}
	replaced := r.begun && r.main != nil && r.main.Confirmed == r.to.lsn
	if !replaced {
		if err := r.copy(ctx); err != nil {
			return err
		}
		if err := r.done(rewindCopied); err != nil {
			return err
		}
		if err := r.store(ctx); err != nil {
			return err
		}
		if err := r.done(rewindStored); err != nil {
			return err
		}
		if err := r.replace(ctx); err != nil {
			return err
		}
	}
	if err := r.done(rewindReplaced); err != nil {
		return err
	}
	if err := r.move(ctx); err != nil {
		return err
	}
	if err := r.done(rewindMoved); err != nil {
		return err
	}
	return r.clean(ctx)
}

// copy makes the slot that will be the pipeline's, or finds the one that an earlier call has made.
func (r *rewinder) copy(ctx context.Context) error {
	found, err := decoder.InspectSlot(ctx, r.conn, r.name())
	if err != nil {
		return err
	}
	if found != nil && (!r.begun || found.Lost() || found.Confirmed > r.to.lsn) {
		if err := decoder.DropSlot(ctx, r.conn, r.name()); err != nil {
			return err
		}
		found = nil
	}
	if found == nil {
		if err := r.known(); r.anchor == nil && err != nil {
			return err
		}
		anchor := decoder.AnchorName(r.config.Source.Slot)
		if err := decoder.CopySlot(ctx, r.conn, anchor, r.name(), false); err != nil {
			return err
		}
	}
	// A server that crashed may have forgotten the last advance.
	reached, err := decoder.AdvanceSlot(ctx, r.conn, r.name(), r.to.lsn)
	if err == nil && reached != r.to.lsn {
		err = fmt.Errorf("slot %s stands at %s, want %s", r.name(), reached, r.to.lsn)
	}
	return err
}

// store notes what is about to be done, while it holds the slot: whoever comes to hold it later reads the
// note and stops.
func (r *rewinder) store(ctx context.Context) error {
	if r.begun {
		return nil
	}
	nothing := func(decoder.Shape) (*schema.Relation, error) { return nil, nil } // is read
	stream, err := decoder.Open(ctx, decoder.StreamOptions{
		Connect: r.connect, Slot: r.config.Source.Slot, Publications: []string{r.config.Source.Publication},
		Decoder: decoder.DecoderOptions{Describe: nothing},
	})
	if err != nil {
		return err
	}
	noted := *r.stored
	noted.Rewind = &publisher.Rewind{
		To: r.to.lsn, LastCommit: r.to.lastCommit, Failover: r.failover, Began: time.Now().UTC(),
	}
	err = stream.Hold(ctx, func(ctx context.Context) error { return r.write(ctx, noted) })
	if closing := stream.Close(); err == nil {
		err = closing
	}
	return err
}

// replace gives the new slot the name of the old one.
func (r *rewinder) replace(ctx context.Context) error {
	slot := r.config.Source.Slot
	if err := dropFree(ctx, r.past, slot); err != nil {
		return err
	}
	if err := r.done(rewindDropped); err != nil {
		return err
	}
	return decoder.CopySlot(ctx, r.conn, r.name(), slot, false)
}

// dropFree drops a slot as soon as the session that held it is gone.
func dropFree(ctx context.Context, w *past, slot string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return dropSoon(ctx, w.conn, slot)
}

// move stores the new position, and gives the slot back what a copy lacks.
func (r *rewinder) move(ctx context.Context) error {
	if r.failover {
		options := r.connect
		options.Replication = true
		conn, err := decoder.Connect(ctx, options)
		if err != nil {
			return err
		}
		defer closeConn(conn)
		if err := decoder.SetFailover(ctx, conn, r.config.Source.Slot); err != nil {
			return err
		}
	}
	moved := *r.stored
	// Ordinal 0 is before every change of a transaction that commits there.
	moved.Position, moved.Resume = decoder.Position{Commit: r.to.lsn}, r.to.lsn
	moved.LastCommit, moved.Split, moved.Rewind = r.to.lastCommit, nil, nil
	moved.Epoch, moved.Window = moved.Epoch+1, 0
	return r.write(ctx, moved)
}

// clean drops the slot that the new one was copied from.
func (r *rewinder) clean(ctx context.Context) error { return dropFree(ctx, r.past, r.name()) }

// write stores a position of the pipeline.
func (r *rewinder) write(ctx context.Context, s publisher.Stored) error {
	return r.past.keep(ctx, s, r.identity())
}

// keep stores a position of a pipeline that does not run.
func (w *past) keep(ctx context.Context, s publisher.Stored, identity publisher.Identity) error {
	p, err := newPipeline(ctx, runOptions{Config: w.config, Log: silent(), Board: newBoard(w.config)})
	if err != nil {
		return err
	}
	defer p.close()
	p.options.Identity = identity
	p.options.MaySend, p.options.Holding = nil, nil // there is no stream to ask
	return publisher.Move(ctx, p.options, s)
}
