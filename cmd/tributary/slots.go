package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/decoder"
)

// shownSlot is a slot as `slots` shows it.
type shownSlot struct {
	Name          string `json:"name"`
	Role          string `json:"role"`
	Plugin        string `json:"plugin"`
	Database      string `json:"database"`
	Temporary     bool   `json:"temporary"`
	ActivePID     int    `json:"active_pid"` // 0 when nobody reads it
	Restart       string `json:"restart"`
	Confirmed     string `json:"confirmed"`
	Status        string `json:"wal_status"`
	Reason        string `json:"invalidation_reason,omitempty"`
	RetainedBytes int64  `json:"retained_bytes"`
	SafeBytes     int64  `json:"safe_bytes"` // -1 without a limit
	Failover      bool   `json:"failover"`
	Orphan        string `json:"orphan,omitempty"` // why nothing needs it
}

func (p *program) slotsCommand() *cobra.Command {
	return group("slots", "List, show and drop replication slots",
		"  tributary slots list -c tributary.yaml\n"+
			"  tributary slots drop -c tributary.yaml tributary_shop_anchor",
		p.slotsListCommand(), p.slotsShowCommand(), p.slotsDropCommand())
}

func (p *program) slotsListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the logical slots of the database",
		Example: "  tributary slots list -c tributary.yaml\n" +
			"  tributary slots list -c tributary.yaml --json",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.withSlots(cmd.Context(), flags, func(_ *pgconn.PgConn, _ Config, all []shownSlot) error {
			if asJSON {
				return writeJSON(p.stdout, all)
			}
			return writeSlots(p.stdout, all)
		})
	}
	return cmd
}

func (p *program) slotsShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show all that is known of a slot, by default the pipeline's",
		Example: "  tributary slots show -c tributary.yaml\n" +
			"  tributary slots show -c tributary.yaml tributary_shop_anchor --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes one slot at most, but got %d", cmd.CommandPath(), len(args))}
			}
			return nil
		},
	}
	flags := p.addConfigFlags(cmd)
	cmd.ValidArgsFunction = oneName(p.completeSlots)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.withSlots(cmd.Context(), flags, func(_ *pgconn.PgConn, c Config, all []shownSlot) error {
			found, err := pickSlots(all, slices.Concat(args, []string{c.Source.Slot})[:1])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(p.stdout, found[0])
			}
			return writeSlot(p.stdout, found[0])
		})
	}
	return cmd
}

func (p *program) slotsDropCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop NAME...",
		Short: "Drop slots, and with the pipeline's own its anchor",
		Long: "drop asks on a terminal, and elsewhere wants --yes: what a slot holds is gone\n" +
			"with it. A slot in use is not dropped: stop the instance first.",
		Example: "  tributary slots drop -c tributary.yaml tributary_shop\n" +
			"  tributary slots drop -c tributary.yaml tributary_old_anchor --yes",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name the slots to drop (tributary slots list shows them)")}
			}
			return nil
		},
	}
	flags := p.addConfigFlags(cmd)
	cmd.ValidArgsFunction = p.completeSlots
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.withSlots(cmd.Context(), flags, func(conn *pgconn.PgConn, c Config, all []shownSlot) error {
			found, err := pickSlots(all, withServants(all, args))
			if err != nil {
				return err
			}
			for _, s := range found {
				fmt.Fprintf(p.stdout, "%s  %s at %s, %s of WAL retained\n", s.Name, s.Role, s.Confirmed,
					size(s.RetainedBytes))
			}
			if !yes {
				if err := p.confirm("Drop " + count(len(found), "slot") + "?"); err != nil {
					return err
				}
			}
			for _, s := range found {
				if err := decoder.DropSlot(cmd.Context(), conn, s.Name); err != nil {
					return err
				}
				fmt.Fprintf(p.stdout, "%s dropped\n", s.Name)
			}
			return nil
		})
	}
	return cmd
}

// confirm asks a person. Where there is none it refuses.
func (p *program) confirm(question string) error {
	answer := ""
	if p.ask != nil {
		var err error
		answer, err = p.ask(question + " [y/N] ")
		if err != nil && !errors.Is(err, errNobody) {
			return fmt.Errorf("read the answer: %w", err)
		}
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		return usageError{errors.New("nothing was changed: --yes does it without asking")}
	}
	return codedError{errors.New("nothing was changed"), exitFailed}
}

// errNobody is that there is no person to ask.
var errNobody = errors.New("there is no terminal to ask at")

// askTerminal asks on the terminal.
func askTerminal(question string) (string, error) {
	if !isTerminal(os.Stdin) || !isTerminal(os.Stdout) {
		return "", errNobody
	}
	fmt.Fprint(os.Stdout, question)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

// withSlots calls use with the database's slots.
func (p *program) withSlots(ctx context.Context, flags *configFlags,
	use func(conn *pgconn.PgConn, c Config, all []shownSlot) error,
) error {
	config, err := flags.load()
	if err != nil {
		return err
	}
	conn, err := decoder.Connect(ctx, sourceOptions(config))
	if err != nil {
		return err
	}
	defer closeConn(conn)
	slots, err := decoder.ListSlots(ctx, conn)
	if err != nil {
		return err
	}
	return use(conn, config, describeSlots(slots, config))
}

// servants are the suffixes of slots that serve another, and what they are for.
var servants = []struct{ suffix, role string }{
	{"_anchor", "anchor"},
	{rewindSuffix, "rewind"},
	{replaySuffix, "replay"},
	{scanSuffix, "search"},
	{"_snapshot", "snapshot"},
}

// describeSlots says what each slot is for, as far as names tell.
func describeSlots(slots []decoder.Slot, c Config) []shownSlot {
	names := map[string]bool{}
	for _, s := range slots {
		names[s.Name] = true
	}
	shown := make([]shownSlot, 0, len(slots))
	for _, s := range slots {
		one := shownSlot{
			Name: s.Name, Role: "other", Plugin: s.Plugin, Database: s.Database, Temporary: s.Temporary,
			ActivePID: s.ActivePID, Restart: s.Restart.String(), Confirmed: s.Confirmed.String(), Status: s.Status,
			Reason: s.Reason, RetainedBytes: s.RetainedBytes, SafeBytes: s.SafeBytes, Failover: s.Failover,
		}
		if s.Name == c.Source.Slot {
			one.Role = "pipeline"
		}
		for _, servant := range servants {
			of, isServant := strings.CutSuffix(s.Name, servant.suffix)
			if !isServant || s.Plugin != "pgoutput" {
				continue
			}
			one.Role = servant.role
			ours := s.Name == decoder.SiblingName(c.Source.Slot, servant.suffix)
			if !s.Temporary && !names[of] && !(ours && names[c.Source.Slot]) {
				one.Orphan = "slot " + of + " does not exist"
			}
			if servant.role == "anchor" && s.Name == decoder.AnchorName(c.Source.Slot) && c.Replay.Keep == 0 {
				one.Orphan = "replay.keep is 0"
			}
		}
		shown = append(shown, one)
	}
	return shown
}

// checkServants looks at the slots that serve others: the pipeline's anchor, and those that nothing needs
// any more, which keep WAL for ever.
func checkServants(ctx context.Context, c Config, conn *pgconn.PgConn, s serverFacts, f *findings) {
	slots, err := decoder.ListSlots(ctx, conn)
	if err != nil {
		f.fault("slots", err, "")
		return
	}
	anchored := false
	for _, one := range describeSlots(slots, c) {
		switch own := one.Name == decoder.AnchorName(c.Source.Slot); {
		case one.Orphan != "":
			f.add("W127", "slots", fmt.Sprintf("%s keeps %s of WAL for nothing: %s", one.Name,
				size(one.RetainedBytes), one.Orphan), ownCommand(c, "slots drop "+one.Name))
		case own && (one.Status == "lost" || one.Reason != ""):
			anchored = true
			f.add("W128", "anchor", one.Name+" is lost: run makes it anew, and nothing older can be replayed", "")
		case own:
			anchored = true
			f.ok("anchor", fmt.Sprintf("%s: replay is possible from %s, %s of WAL retained", one.Name,
				one.Confirmed, size(one.RetainedBytes)))
		case one.ActivePID == 0 && !one.Temporary && one.Name != c.Source.Slot:
			f.add("W127", "slots", fmt.Sprintf("%s is read by nobody and keeps %s of WAL", one.Name,
				size(one.RetainedBytes)), "SELECT pg_drop_replication_slot('"+one.Name+"');   -- if nothing needs it")
		}
	}
	if !anchored && c.Replay.Keep > 0 && s.usedSlots+1 >= s.slots {
		f.add("W129", "anchor", fmt.Sprintf("no replication slot is left for it among %d: replay and rewind will "+
			"not be possible", s.slots),
			fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d;   -- then restart the server", s.slots+5))
	}
}

// withServants adds to each slot what serves it alone.
func withServants(all []shownSlot, names []string) []string {
	list := slices.Clone(names)
	for _, name := range names {
		for _, servant := range servants {
			sibling := decoder.SiblingName(name, servant.suffix)
			served := slices.ContainsFunc(all, func(s shownSlot) bool {
				return s.Name == sibling && s.Role == servant.role && !s.Temporary
			})
			if served && !slices.Contains(list, sibling) {
				list = append(list, sibling)
			}
		}
	}
	return list
}

// pickSlots finds slots by name.
func pickSlots(all []shownSlot, names []string) ([]shownSlot, error) {
	var found []shownSlot
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
	}
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, usageError{fmt.Errorf("slot %s does not exist in this database%s", name,
				didYouMean(name, known))}
		}
		found = append(found, all[i])
	}
	return found, nil
}

func writeJSON[T any](w io.Writer, value T) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func writeSlots(w io.Writer, all []shownSlot) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %-9s %-17s %10s  %s\n", "slot", "role", "confirmed", "retained", "state")
	for _, s := range all {
		first, more, _ := strings.Cut(s.state(), ", ")
		fmt.Fprintf(&b, "%s %-9s %-17s %10s  %s\n", cell(s.Name, 28), s.Role, s.Confirmed, size(s.RetainedBytes),
			first)
		if more != "" {
			b.WriteString(fold("  "+more, 2) + "\n")
		}
	}
	if len(all) == 0 {
		b.WriteString("none\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// state is what a person looks for first.
func (s shownSlot) state() string {
	words := []string{s.Status}
	if s.Reason != "" {
		words = append(words, s.Reason)
	}
	if s.ActivePID != 0 {
		words = append(words, fmt.Sprintf("pid %d", s.ActivePID))
	}
	if s.Orphan != "" {
		words = append(words, "orphan: "+s.Orphan)
	}
	return strings.Join(words, ", ")
}

func writeSlot(w io.Writer, s shownSlot) error {
	safe := "without a limit"
	if s.SafeBytes >= 0 {
		safe = size(s.SafeBytes) + " more are safe"
	}
	_, err := fmt.Fprintf(w, "%s\nplugin     %s, database %s, temporary %t, failover %t\n"+
		"restart    %s\nconfirmed  %s\nretained   %s, %s\n%s\n", fold("slot       "+s.Name+" ("+s.Role+")", 11),
		s.Plugin, s.Database, s.Temporary, s.Failover, s.Restart, s.Confirmed, size(s.RetainedBytes), safe,
		fold("state      "+s.state(), 11))
	return err
}
