package snapshot

import (
	"context"
	"slices"
	"strings"
)

// published is what the publications say of a table.
type published struct {
	// columns are those that the stream carries, nil before Postgres 15.
	columns []string
	// filter is the row filter, "" for none.
	filter string
}

// Postgres 15 is the first with column lists and row filters.
const versionColumnLists = 15_00_00

// loadPublications reads which tables the publications hold.
func (c *Catalog) loadPublications(ctx context.Context) error {
	c.published = map[tableName]published{}
	if len(c.options.Publications) == 0 {
		return nil
	}
	type row struct {
		Schema  string   `json:"schemaname"`
		Table   string   `json:"tablename"`
		Columns []string `json:"attnames"`
		Filter  *string  `json:"rowfilter"`
	}
	more := ""
	if c.version >= versionColumnLists {
		more = ", attnames, rowfilter"
	}
	rows, err := query[row](ctx, c, "SELECT schemaname, tablename"+more+
		" FROM pg_catalog.pg_publication_tables WHERE pubname = ANY ($1::name[]) ORDER BY pubname",
		array(c.options.Publications))
	if err != nil {
		return err
	}
	filters := map[tableName][]*string{}
	for _, r := range rows {
		name := tableName{r.Schema, r.Table}
		filters[name] = append(filters[name], r.Filter)
		c.published[name] = published{columns: r.Columns}
	}
	if c.options.Debezium {
		// Its snapshot reads whole tables.
		for name := range c.published {
			c.published[name] = published{}
		}
		return nil
	}
	for name, all := range filters {
		p := c.published[name]
		p.filter = anyOf(all)
		c.published[name] = p
	}
	return nil
}

// anyOf joins the row filters of several publications: a row is published when one lets it through, and one
// without a filter lets all through.
func anyOf(filters []*string) string {
	var texts []string
	for _, filter := range filters {
		if filter == nil {
			return ""
		}
		if text := "(" + *filter + ")"; !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " OR ")
}
