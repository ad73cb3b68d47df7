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

// Registered is a schema as a subject has it.
type Registered struct {
	// Version counts a subject's schemas from 1; ID is the one that records carry, the same in all subjects.
	Version, ID int
	Text        string
}

// Known says whether a subject has a schema, and whether it has this one: then ID registers nothing. Both
// come from one request each, without waiting for a registry that is down.
func (g *Registry) Known(ctx context.Context, subject, text string) (exists, same bool, err error) {
	latest, err := g.Latest(ctx, subject)
	if err != nil || latest == nil {
		return false, false, err
	}
	found, err := g.Find(ctx, subject, text)
	return true, found != nil, err
}

// Find returns the version of a subject that is this schema, nil when none is.
func (g *Registry) Find(ctx context.Context, subject, text string) (*Registered, error) {
	call := g.call(ctx)
	found, err := call.client.LookupSchema(subject, text, srclient.Avro)
	return call.found("look up schema "+subject, found, err)
}

// Latest returns a subject's latest schema, nil when there is no such subject.
func (g *Registry) Latest(ctx context.Context, subject string) (*Registered, error) {
	call := g.call(ctx)
	latest, err := call.client.GetLatestSchema(subject)
	return call.found("read subject "+subject, latest, err)
}

// found turns an answer into what is registered. 404 is that nothing is.
func (c *registryCall) found(doing string, answer *srclient.Schema, err error) (*Registered, error) {
	switch {
	case err != nil && c.status == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, c.fault(doing, err)
	}
	return &Registered{Version: answer.Version(), ID: answer.ID(), Text: answer.Schema()}, nil
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

// CompatibilityOf asks the registry for the rule of a subject, which is the registry's where the subject has
// none of its own.
func (g *Registry) CompatibilityOf(ctx context.Context, subject string) (string, error) {
	call := g.call(ctx)
	level, err := call.client.GetCompatibilityLevel(subject, true)
	if err != nil {
		return "", call.fault("read the compatibility rule of subject "+subject, err)
	}
	return string(*level), nil
}
