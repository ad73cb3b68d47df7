package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
)

// slotGoneError is a slot that is gone although everything is published up to a position: it is not made
// again by itself, since what it held is lost, and a person must know.
type slotGoneError struct {
	slot   string
	resume decoder.LSN
}

// Error says from where on changes are in doubt.
func (e *slotGoneError) Error() string {
	return fmt.Sprintf("slot %s: everything is published up to %s, and the slot is gone: changes that "+
		"committed "+
		"since may be lost; to have a new snapshot taken by itself in such a case: snapshot.mode: when_needed",
		e.slot, e.resume)
}

// ErrorCode is that of a slot that is gone.
func (e *slotGoneError) ErrorCode() string { return "E407" }

// NeedsPerson is true: a slot does not come back.
func (e *slotGoneError) NeedsPerson() bool { return true }

// slotGone is the error of a position without a slot: the server has lost it, or is another.
func slotGone(stored *publisher.Stored, system decoder.System) error {
	if stored.Identity.SystemID != system.ID {
		return &publisher.IdentityError{
			Key: stored.Pipeline + "/" + stored.Slot, What: "system identifier",
			Stored: stored.Identity.SystemID, Found: system.ID, Resume: stored.Resume,
		}
	}
	return &slotGoneError{slot: stored.Slot, resume: stored.Resume}
}

// advisedError is an error with what helps in this very case: it is shown instead of the catalogue's words.
type advisedError struct {
	error
	fix string
}

// Unwrap returns the error inside.
func (e advisedError) Unwrap() error { return e.error }

// advised adds to an error what the configuration makes of its fix: the command that repairs a gap, with its
// flags, and the statement or command that lets a refused connection in. check shows the same.
func advised(c Config, err error) error {
	fix := ""
	var found *decoder.FindingsError
	var incompatible *schema.IncompatibleError
	switch {
	case err == nil:
	case errors.As(err, &incompatible) && incompatible.Subject != "":
		fix = incompatibleFix(c, incompatible.Subject)
	case errors.As(err, &found) && len(found.Findings) > 0 && found.Findings[0].Fix != "":
		fix = strings.TrimSuffix(found.Findings[0].Fix, ";") + ";"
	case isGap(err):
		fix = repairCommand(c)
	default:
		fix = connectFix(c, err)
	}
	if fix == "" {
		return err
	}
	return advisedError{err, fix}
}

// isGap says that changes are lost to the stream, as only a new snapshot mends.
func isGap(err error) bool {
	var gone *slotGoneError
	var over *walLimitError
	var missing *decoder.SlotMissingError
	var lost *decoder.SlotLostError
	var publication *decoder.PublicationError
	var unsendable *decoder.RowUnsendableError
	var gap *publisher.GapError
	var identity *publisher.IdentityError
	var timeline *publisher.TimelineError
	var split *publisher.SplitError
	return errors.As(err, &gone) || errors.As(err, &over) || errors.As(err, &missing) || errors.As(err, &lost) ||
		errors.As(err, &publication) || errors.As(err, &unsendable) || errors.As(err, &gap) ||
		errors.As(err, &identity) || errors.As(err, &timeline) || errors.As(err, &split)
}

// repairCommand is the command line of a repair under the same configuration. No secret stands in it.
func repairCommand(c Config) string {
	return ownCommand(c, "snapshot --repair")
}

// commandLine is the flags that lead to the same configuration. A value that may hold a password is left to
// the one who types it.
func (f *configFlags) commandLine() []string {
	var words []string
	add := func(flag, value string) { words = append(words, flag+" "+shellQuoted(value)) }
	if f.file != "" {
		add("-c", f.file)
	}
	if f.debezium != "" {
		add("--from-debezium", f.debezium)
	}
	for _, k := range configKeys() {
		value, given := f.values[k.path]
		if !given {
			continue
		}
		if u, err := url.Parse(value); strings.Contains(value, "password") || err == nil && u.User != nil {
			value = "..."
		}
		name := k.flag()
		if short := aliases[k.path]; short != "" {
			name = short
		}
		add("--"+name, value)
	}
	return words
}

// shellQuoted is a word as a shell reads it.
func shellQuoted(word string) string {
	plain := func(r rune) bool {
		return !strings.ContainsRune("-_./:,@=%+", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') &&
			(r < 'A' || r > 'Z')
	}
	if word != "" && strings.IndexFunc(word, plain) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// orderRepair notes with the stored position that the next run is to repair the topics, and drops the slot,
// which the run makes anew. The pipeline must be stopped. Killed in between, the same command ends it; so
// does a run, from the slot that is there, where that can be read.
func (p *program) orderRepair(ctx context.Context, config Config, dry, yes bool) error {
	w, err := openPast(ctx, config)
	if err != nil {
		return err
	}
	defer w.close()
	if w.main != nil && w.main.Active {
		return fmt.Errorf("the pipeline must be stopped first: %w", &decoder.SlotBusyError{
			Slot: w.main.Name, PID: w.main.ActivePID,
		})
	}
	if w.stored != nil && w.stored.Rewind != nil {
		return rewindPending(w.stored)
	}
	because := "no gap is known"
	if gap := w.gap(); gap != nil {
		because = gap.Error()
	}
	fmt.Fprintf(p.stdout, "repair     %s, slot %s\n", config.Pipeline, config.Source.Slot)
	fmt.Fprintf(p.stdout, "because    %s\n", because)
	fmt.Fprintf(p.stdout, "the slot   is dropped and made anew; what it holds and was not published is not "+
		"streamed\n")
	fmt.Fprintf(p.stdout, "the topics get every row again, and a delete for each key that no table has any "+
		"more;\n           whatever else writes into them would be deleted, too\n")
	if dry {
		fmt.Fprintln(p.stdout, "nothing was changed")
		return nil
	}
	if !yes {
		if err := p.confirm("Repair?"); err != nil {
			return err
		}
	}
	if err := w.orderRepair(ctx); err != nil {
		return err
	}
	run := strings.Join(append([]string{"tributary run"}, config.command...), " ")
	fmt.Fprintf(p.stdout, "noted      the next run repairs: %s\n", run)
	return nil
}

// gap says what is wrong with slot and position, nil when nothing is known to be.
func (w *past) gap() error {
	switch {
	case w.main == nil && w.stored == nil:
		return nil
	case w.main == nil:
		return slotGone(w.stored, w.system)
	}
	if err := w.main.Usable(w.system.Database); err != nil || w.stored == nil {
		return err
	}
	return w.stored.Verify(serverOf(w.config, w.identity(), w.main, w.history))
}

// orderRepair stores the note, which fences whoever wrote before, and drops the slot.
func (w *past) orderRepair(ctx context.Context) error {
	noted := publisher.Stored{}
	identity := w.identity()
	if w.stored != nil {
		noted, identity = *w.stored, w.stored.Identity
	}
	noted.Repair = &publisher.Repair{Asked: time.Now().UTC()}
	if err := w.keep(ctx, noted, identity); err != nil {
		return err
	}
	if w.main == nil {
		return nil
	}
	return dropFree(ctx, w, w.config.Source.Slot)
}

// repairCommand runs snapshot --repair.
func (p *program) repairCommand(ctx context.Context, flags *configFlags, dry, yes bool, wrong error) error {
	if wrong != nil {
		return wrong
	}
	config, err := flags.load()
	if err != nil {
		return err
	}
	return p.orderRepair(ctx, config, dry, yes)
}

// repairFlags refuses what a repair does not go with: it is of the whole pipeline.
func repairFlags(tables []string, others ...string) error {
	if len(tables) > 0 || slices.ContainsFunc(others, func(s string) bool { return s != "" }) {
		return usageError{errors.New("--repair is of all tables, and of a stopped pipeline: leave out the other " +
			"flags")}
	}
	return nil
}
