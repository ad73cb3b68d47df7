package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// session is what DuckDB is asked at a time, and who is told each answer.
type session struct {
	statements []string
	tell       []func(result) error
}

func (s *session) add(sql string, tell func(result) error) {
	s.statements = append(s.statements, sql)
	s.tell = append(s.tell, tell)
}

// answer is what the lake says of everything that is asked.
type answer struct {
	rows      int // of all tables
	differing []string
	eleven    []logRow // the log of addresses 100 to 105
	five      []string // the ids of the article's ROW_NUMBER, corrected
	refined   string   // how many rows and folders the refined table has
}

// ask asks the lake that a sink has written: the views' rows, which are compared with the tables, and where
// the sink writes the log, the article's queries and MERGE. It is nil while a table has no objects.
func (l *lake) ask(ctx context.Context, r recipe) (*answer, error) {
	made, err := l.load(ctx, r)
	if err != nil || made == nil {
		return nil, err
	}
	s, a := &session{}, &answer{}
	for _, sql := range made {
		s.add(sql, nil)
	}
	if r.layout == icebergRow {
		err = l.askRows(ctx, s, a)
	} else {
		err = l.askLog(ctx, s, a)
	}
	if err != nil {
		return nil, err
	}
	results, err := l.duck.run(ctx, s.statements...)
	if err != nil {
		return nil, err
	}
	for i, tell := range s.tell {
		if tell == nil {
			continue
		}
		if err := tell(results[i]); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// askRows asks a sink's tables of rows with _cdc.
func (l *lake) askRows(ctx context.Context, s *session, a *answer) error {
	all, err := l.athena("cdc.sql")
	if err != nil {
		return err
	}
	views, life := all[:len(captured)], all[len(captured)]
	for _, sql := range views {
		s.add(sql, nil)
	}
	s.add(life, a.takeEleven)
	s.add(fiveOfCDC, a.takeFive)
	for _, table := range captured {
		if err := l.compare(ctx, s, a, table+"_of_cdc", table); err != nil {
			return err
		}
	}
	return nil
}

// fiveOfCDC asks the views of cdc.sql what the second query of article.sql asks the log.
const fiveOfCDC = "SELECT a.address_id, a.address, a.address2, a.district, c.city, n.country " +
	"FROM lake.address_of_cdc AS a JOIN lake.city_of_cdc AS c ON c.city_id = a.city_id " +
	"JOIN lake.country_of_cdc AS n ON n.country_id = c.country_id " +
	"WHERE a.address_id BETWEEN 100 AND 105 ORDER BY a.address_id"

// askLog asks the tables of envelopes.
func (l *lake) askLog(ctx context.Context, s *session, a *answer) error {
	refined := filepath.Join(l.dir, "refined")
	if err := errors.Join(os.RemoveAll(refined), os.Mkdir(refined, 0o755)); err != nil {
		return err
	}
	files := map[string][]string{}
	for _, name := range []string{"current.sql", "article.sql", "merge.sql"} {
		all, err := l.athena(name)
		if err != nil {
			return err
		}
		for _, sql := range all {
			files[name] = append(files[name], forDuck(sql, refined))
		}
	}
	for _, sql := range files["current.sql"] {
		s.add(sql, nil)
	}
	s.add(files["article.sql"][0], a.takeEleven)
	s.add(files["article.sql"][1], a.takeFive)
	s.add(files["article.sql"][2], nil)
	s.add("SELECT count(*) || ' rows in ' || count(DISTINCT country) || ' folders' AS n FROM read_parquet('"+
		refined+"/address_by_country/*/*.parquet', hive_partitioning = true)", func(found result) error {
		a.refined = text(found[0], "n")
		return nil
	})
	for _, sql := range append(files["merge.sql"], files["merge.sql"][1]) { // the second time changes nothing
		s.add(sql, nil)
	}
	s.add("CREATE VIEW lake.merged AS SELECT * EXCLUDE log_offset FROM lake.address_current", nil)
	for _, table := range captured {
		sql, want := typesOf(table, l.columns[table])
		s.add(sql, func(found result) error {
			if have := text(found[0], "types"); have != want {
				a.differing = append(a.differing, fmt.Sprintf("%s_log has the types %s, log.sql %s", table, have, want))
			}
			return nil
		})
		if err := l.compare(ctx, s, a, table, table); err != nil {
			return err
		}
	}
	return l.compare(ctx, s, a, "merged", "address")
}

// compare has a view's rows compared with a table's.
func (l *lake) compare(ctx context.Context, s *session, a *answer, view, table string) error {
	rows, err := l.rowsOf(ctx, table)
	if err != nil {
		return err
	}
	s.add("SELECT to_json(v) AS row FROM lake."+view+" AS v", func(found result) error {
		have, err := current(found, table)
		if err != nil {
			return err
		}
		if view != "merged" { // that one is told of before
			a.rows += len(rows)
		}
		a.differing = append(a.differing, pagila.Differences(view, "lake", have, rows)...)
		return nil
	})
	return nil
}

// takeEleven takes the log of addresses 100 to 105. The operations of a change-data transform are capitals.
func (a *answer) takeEleven(found result) error {
	for _, one := range found {
		r := logRow{
			id: text(one, "address_id"), op: strings.ToLower(text(one, "op")), offset: text(one, "log_offset"),
			columns: map[string]string{},
		}
		for _, name := range []string{"address", "address2", "district", "city_id"} {
			r.columns[name] = text(one, name)
		}
		a.eleven = append(a.eleven, r)
	}
	return nil
}

// takeFive takes the present rows among them.
func (a *answer) takeFive(found result) error {
	for _, one := range found {
		a.five = append(a.five, fmt.Sprintf("%s  %s, %s, %s, %s, %s", text(one, "address_id"), text(one, "address"),
			text(one, "address2"), text(one, "district"), text(one, "city"), text(one, "country")))
	}
	return nil
}

// settled waits until what a sink has written tells the tables as they are, and returns the last answer: the
// differences are in it where they stay.
func (l *lake) settled(ctx context.Context, r recipe) (*answer, error) {
	var last *answer
	err := l.until(ctx, "the lake of "+r.name, func() error {
		if err := errors.Join(l.alive(), l.failure(ctx, r)); err != nil {
			return stop{err}
		}
		found, err := l.ask(ctx, r) // fails too while a column's first record is on its way
		if err == nil && found == nil {
			err = errors.New("a table has no objects yet")
		}
		if err != nil {
			return err
		}
		last = found
		if len(found.differing) > 0 {
			return fmt.Errorf("%d differing, such as %s", len(found.differing), found.differing[0])
		}
		return nil
	})
	if last != nil && len(last.differing) > 0 && ctx.Err() == nil {
		return last, nil
	}
	return last, err
}

// verdict waits for the lake, prints what it says, and returns it: an error is also what it says that is
// not so.
func (l *lake) verdict(ctx context.Context, r recipe) (*answer, error) {
	a, err := l.settled(ctx, r)
	if err != nil {
		return nil, err
	}
	l.say("")
	err = l.beside(a.eleven)
	l.say("")
	l.say("the present rows of them, deletes left out:")
	for _, row := range a.five {
		l.say("%s", row)
	}
	l.say("")
	for i, difference := range a.differing {
		if i == 10 {
			l.say("and %d more", len(a.differing)-i)
			break
		}
		l.say("%s", difference)
	}
	l.say("rows %d, differing %d", a.rows, len(a.differing))
	if len(a.differing) > 0 {
		err = errors.Join(err, fmt.Errorf("%d differences", len(a.differing)))
	}
	if len(a.five) != 5 || strings.HasPrefix(a.five[4], "104") {
		err = errors.Join(err, fmt.Errorf("%d present rows of 100 to 105, want 5", len(a.five)))
	}
	return a, err
}
