package local

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/twmb/avro"
)

// Records decodes keys and values with a library that tributary does not encode with. It asks a registry for
// each schema once. It must not be used by two goroutines at a time.
type Records struct {
	registry string
	schemas  map[uint32]*avro.Schema
}

// NewRecords returns a decoder that asks the registry at a URL.
func NewRecords(registry string) *Records {
	return &Records{registry: registry, schemas: map[uint32]*avro.Schema{}}
}

// JSON returns a key or a value as JSON. It is a zero byte, the schema's id in four, then Avro.
func (r *Records) JSON(ctx context.Context, b []byte) ([]byte, error) {
	if len(b) < 5 || b[0] != 0 {
		return nil, fmt.Errorf("want a zero byte and a schema id, got % x", b[:min(len(b), 5)])
	}
	schema, err := r.schema(ctx, binary.BigEndian.Uint32(b[1:]))
	if err != nil {
		return nil, err
	}
	var value any
	rest, err := schema.Decode(b[5:], &value)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after the value", len(rest))
	}
	if err != nil {
		return nil, err
	}
	return schema.EncodeJSON(value)
}

func (r *Records) schema(ctx context.Context, id uint32) (*avro.Schema, error) {
	if schema, found := r.schemas[id]; found {
		return schema, nil
	}
	address, err := url.JoinPath(r.registry, "schemas", "ids", strconv.FormatUint(uint64(id), 10))
	if err != nil {
		return nil, fmt.Errorf("read schema %d: %w", id, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("read schema %d: %w", id, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read schema %d: %w", id, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("read schema %d: %s", id, response.Status), err)
	}
	var answer struct{ Schema string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read schema %d: %w", id, err)
	}
	schema, err := avro.Parse(answer.Schema)
	if err != nil {
		return nil, fmt.Errorf("parse schema %d: %w", id, err)
	}
	r.schemas[id] = schema
	return schema, nil
}
