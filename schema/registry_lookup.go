package schema

import (
	"context"
	"net/http"

	"github.com/riferrei/srclient"
)

// Known says whether a subject has a schema, and whether it has this one: then ID registers nothing. Both
// come from one request each, without waiting for a registry that is down.
func (g *Registry) Known(ctx context.Context, subject, text string) (exists, same bool, err error) {
	call := g.call(ctx)
	if _, err := call.client.GetLatestSchema(subject); err != nil {
		if call.status == http.StatusNotFound {
			return false, false, nil
		}
		return false, false, call.fault("read subject "+subject, err)
	}
	call = g.call(ctx)
	if _, err := call.client.LookupSchema(subject, text, srclient.Avro); err != nil {
		if call.status == http.StatusNotFound {
			return true, false, nil
		}
		return true, false, call.fault("look up schema "+subject, err)
	}
	return true, true, nil
}

// Latest returns the text of a subject's latest schema.
func (g *Registry) Latest(ctx context.Context, subject string) (string, error) {
	call := g.call(ctx)
	latest, err := call.client.GetLatestSchema(subject)
	if err != nil {
		return "", call.fault("read subject "+subject, err)
	}
	return latest.Schema(), nil
}
