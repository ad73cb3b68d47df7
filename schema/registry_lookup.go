package schema

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Mode asks the registry for its mode, such as READWRITE or READONLY; one that has no modes answers with an
// error.
func (g *Registry) Mode(ctx context.Context) (string, error) {
	const doing = "read the registry's mode"
	call := g.call(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.base+"/mode", nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	response, err := (&http.Client{Transport: call, Timeout: g.o.Timeout}).Do(request)
	if err != nil {
		return "", call.fault(doing, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return "", call.fault(doing, err)
	}
	var answer struct {
		Mode string `json:"mode"`
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return "", call.fault(doing, errors.New("no mode is told"))
	}
	return answer.Mode, nil
}

// Compatibility asks the registry for the rule of subjects that have none of their own, such as BACKWARD.
func (g *Registry) Compatibility(ctx context.Context) (string, error) {
	call := g.call(ctx)
	level, err := call.client.GetGlobalCompatibilityLevel()
	if err != nil {
		return "", call.fault("read the compatibility rule", err)
	}
	return string(*level), nil
}
