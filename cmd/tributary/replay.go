package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/decoder"
)

// replayOptions says what to publish again, and where to.
type replayOptions struct {
	from, until point
	tables      []Pattern // all captured ones when empty
	suffix      string    // of the topics; empty for the same ones
}

func (p *program) replayCommand() *cobra.Command {
	var fromLSN, fromTime, untilLSN, untilTime, suffix string
	var tables []string
	var same bool
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Publish a part of the past again",
		Long: "replay publishes the transactions behind a position again, whole, in order, to\n" +
			"topics of their own, while the pipeline goes on. The records are those of the\n" +
			"first time, but for ts_ms and a header __tributary.replay. It reads the WAL that\n" +
			"the anchor keeps (replay.keep); tributary positions shows from where on.\n" +
			"Interrupted, it says how far it came; begun again from there, in exactly-once it\n" +
			"repeats nothing.",
		Example: "  tributary replay -c tributary.yaml --from-lsn 0/16B3748\n" +
			"  tributary replay -c tributary.yaml --from-time -30m --until-time -10m \\\n" +
			"    --table public.orders --topic-suffix .again",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	set := cmd.Flags()
	set.StringVar(&fromLSN, "from-lsn", "", "begin behind this `LSN`, 0/16B3748 or as a number")
	set.StringVar(&fromTime, "from-time", "", "begin with what committed at this `TIME` or later")
	set.StringVar(&untilLSN, "until-lsn", "", "end at this `LSN`; by default where the pipeline is")
	set.StringVar(&untilTime, "until-time", "", "end before the first transaction committed after this `TIME`")
	set.StringSliceVar(&tables, "table", nil, "only tables that match this `PATTERN`, as in source.tables")
	set.StringVar(&suffix, "topic-suffix", ".replay", "`TEXT` behind the topics' names")
	set.BoolVar(&same, "same-topics", false, "publish to the pipeline's own topics, behind what is there")
	exclude(cmd, "topic-suffix", "same-topics")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		now := time.Now()
		var o replayOptions
		var errs [2]error
		o.from, errs[0] = parsePoint("from", fromLSN, fromTime, now)
		o.until, errs[1] = parsePoint("until", untilLSN, untilTime, now)
		if err := errors.Join(errs[:]...); err != nil {
			return usageError{err}
		}
		if err := o.choose(tables, suffix, same); err != nil {
			return err
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		return p.replay(cmd.Context(), config, o)
	}
	return cmd
}

// choose takes the tables and the topics.
func (o *replayOptions) choose(tables []string, suffix string, same bool) error {
	if !o.from.given() {
		return usageError{errors.New("name where to begin: --from-lsn LSN or --from-time TIME " +
			"(tributary positions shows what there is)")}
	}
	switch {
	case same:
	case suffix == "":
		return usageError{errors.New("--topic-suffix is empty: say --same-topics to publish to the pipeline's own")}
	case !topicName.MatchString(suffix):
		return usageError{fmt.Errorf("--topic-suffix %q: a topic's name is made of a-z, A-Z, 0-9, dot, _ and -",
			suffix)}
	default:
		o.suffix = suffix
	}
	for _, text := range tables {
		pattern, err := parsePattern(text)
		if err != nil {
			return usageError{fmt.Errorf("--table: %w", err)}
		}
		o.tables = append(o.tables, pattern)
	}
	return nil
}

// wants says whether a table is to be replayed.
func (o *replayOptions) wants(table string) bool {
	return len(o.tables) == 0 || matchAny(o.tables, table)
}

// replay publishes a part of the past, and says what it did, also when it did not end.
func (p *program) replay(ctx context.Context, config Config, o replayOptions) error {
	shown := newProgress(p.stderr, isTerminal(p.stderr))
	log := newLogger(shown, config.Log, isTerminal(p.stderr), new(slog.LevelVar))
	stop := make(chan struct{})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	side, endSide := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { p.watchSignals(side, log, stop, cancel); close(watched) }()
	defer func() { endSide(); <-watched }()

	w, err := openPast(ctx, config)
	if err != nil {
		return err
	}
	defer w.close()
	w.progress = func(from decoder.LSN) { log.Info("looking for the transaction", "from", from) }
	r := &replayer{o: o, past: w, shown: shown, log: log}
	if err := r.choose(ctx); err != nil {
		return err
	}
	if err := r.open(ctx, config, stop); err != nil {
		return err
	}
	defer r.pipeline.close()
	began := time.Now()
	err = r.run(ctx)
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && errors.Is(cause, errSecondSignal) {
		err = cause
	}
	if writeErr := r.write(p.stdout, time.Since(began), err); err == nil {
		err = writeErr
	}
	return err
}

// choose finds the two ends.
func (r *replayer) choose(ctx context.Context) (err error) {
	w := r.past
	if r.begin, err = w.locate(ctx, r.o.from); err != nil {
		return err
	}
	_, r.until = w.window()
	if x := r.o.until.lsn; x != 0 {
		if err := w.admit(x); err != nil {
			return err
		}
		if x < r.begin.lsn {
			return usageError{fmt.Errorf("--until-lsn %s lies before where the replay begins, %s", x, r.begin.lsn)}
		}
		r.until = x
	}
	if at := r.o.until.time; !at.IsZero() {
		r.untilTime = at.UnixMicro()
	}
	return nil
}

// again is the command that goes on from a position.
func (r *replayer) again(from decoder.LSN) string {
	words := []string{"tributary replay --from-lsn", from.String(), "--until-lsn", r.until.String()}
	if at := r.o.until.time; !at.IsZero() {
		words = append(words, "--until-time", at.UTC().Format(time.RFC3339Nano))
	}
	for _, t := range r.o.tables {
		words = append(words, "--table", "'"+t.String()+"'")
	}
	switch r.o.suffix {
	case "":
		words = append(words, "--same-topics")
	case ".replay":
	default:
		words = append(words, "--topic-suffix", r.o.suffix)
	}
	return strings.Join(words, " ")
}

// silent is a logger for what repeats what a command says itself.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
