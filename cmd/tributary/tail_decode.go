package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
)

// errNoForm says that nothing here has written a value.
var errNoForm = errors.New("neither Avro with a schema id nor JSON")

// valueReader turns record keys and values into JSON text, asking the registry for schemas once each.
type valueReader struct {
	config  Config
	client  *http.Client
	schemas map[uint32]avro.Schema
}

// newValueReader makes a reader for what a configuration writes.
func newValueReader(c Config) (*valueReader, error) {
	r := &valueReader{
		config: c, client: &http.Client{Timeout: 10 * time.Second},
		schemas: map[uint32]avro.Schema{},
	}
	if c.NeedsRegistry() {
		o, err := registryOptions(c)
		if err != nil {
			return nil, err
		}
		if o.TLS != nil {
			r.client.Transport = &http.Transport{TLSClientConfig: o.TLS, Proxy: http.ProxyFromEnvironment}
		}
	}
	return r, nil
}

// read returns a key or value as JSON: Avro through the registry, JSON as it is, without the schema beside
// it. What is neither is errNoForm.
func (r *valueReader) read(ctx context.Context, data []byte) (json.RawMessage, error) {
	switch {
	case data == nil:
		return nil, nil
	case len(data) >= 5 && data[0] == 0:
		schema, err := r.schema(ctx, binary.BigEndian.Uint32(data[1:]))
		if err != nil {
			return nil, err
		}
		d := avroReader{data: data[5:]}
		text := d.value(nil, schema)
		if d.err == nil && len(d.data) > 0 {
			d.err = fmt.Errorf("%d bytes left over", len(d.data))
		}
		if d.err != nil {
			return nil, fmt.Errorf("decode Avro: %w", d.err)
		}
		return text, nil
	case json.Valid(data):
		var withSchema struct {
			Schema  json.RawMessage `json:"schema"`
			Payload json.RawMessage `json:"payload"`
		}
		if json.Unmarshal(data, &withSchema) == nil && withSchema.Schema != nil && withSchema.Payload != nil {
			return withSchema.Payload, nil
		}
		return data, nil
	}
	return nil, errNoForm
}

func (r *valueReader) schema(ctx context.Context, id uint32) (avro.Schema, error) {
	if s, known := r.schemas[id]; known {
		return s, nil
	}
	text, err := r.schemaText(ctx, id)
	if err != nil {
		return nil, err
	}
	// A cache of its own: record names repeat between tables' schemas and must not meet.
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("read schema %d: %w", id, err)
	}
	r.schemas[id] = schema
	return schema, nil
}

// schemaText asks the registry for a schema.
func (r *valueReader) schemaText(ctx context.Context, id uint32) (string, error) {
	o, err := registryOptions(r.config)
	if err != nil {
		return "", err
	}
	address := strings.TrimSuffix(o.URL, "/") + "/schemas/ids/" + strconv.FormatUint(uint64(id), 10)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("ask the registry for schema %d: %w", id, err)
	}
	if password, err := o.Password(ctx); err != nil {
		return "", err
	} else if o.User != "" {
		request.SetBasicAuth(o.User, password)
	}
	if o.Bearer != nil {
		token, err := o.Bearer(ctx)
		if err != nil {
			return "", err
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask the registry for schema %d: %w", id, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask the registry for schema %d: answered %s", id, response.Status)
	}
	var answer struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("ask the registry for schema %d: %w", id, err)
	}
	return answer.Schema, nil
}

// avroReader reads Avro binary and writes JSON with the fields in the schema's order. Its first error sticks.
type avroReader struct {
	data []byte
	err  error
}

func (d *avroReader) fail(text string) { d.err, d.data = errors.New(text), nil }

func (d *avroReader) long() int64 {
	n, size := binary.Varint(d.data)
	if size <= 0 {
		d.fail("it ends inside a number")
		return 0
	}
	d.data = d.data[size:]
	return n
}

func (d *avroReader) take(n int64) []byte {
	if n < 0 || n > int64(len(d.data)) {
		d.fail("it ends inside a value")
		return nil
	}
	taken := d.data[:n]
	d.data = d.data[n:]
	return taken
}

// value appends one value.
func (d *avroReader) value(dst []byte, s avro.Schema) []byte {
	if d.err != nil {
		return dst
	}
	switch s := s.(type) {
	case *avro.RefSchema:
		return d.value(dst, s.Schema())
	case *avro.UnionSchema:
		branch := d.long()
		if branch < 0 || branch >= int64(len(s.Types())) {
			d.fail("a union has no such branch")
			return dst
		}
		return d.value(dst, s.Types()[branch])
	case *avro.RecordSchema:
		for i, f := range s.Fields() {
			dst = append(dst, "{,"[min(i, 1)])
			dst = append(appendJSON(dst, f.Name()), ':')
			dst = d.value(dst, f.Type())
		}
		if len(s.Fields()) == 0 {
			dst = append(dst, '{')
		}
		return append(dst, '}')
	case *avro.ArraySchema:
		return append(d.blocks(append(dst, '['), func(dst []byte) []byte { return d.value(dst, s.Items()) }), ']')
	case *avro.MapSchema:
		return append(d.blocks(append(dst, '{'), func(dst []byte) []byte {
			return d.value(append(appendJSON(dst, string(d.take(d.long()))), ':'), s.Values())
		}), '}')
	case *avro.NullSchema:
		return append(dst, "null"...)
	case *avro.PrimitiveSchema:
		return d.primitive(dst, s)
	}
	d.fail("a type that is not read here: " + string(s.Type()))
	return dst
}

// blocks reads the blocks of an array or map.
func (d *avroReader) blocks(dst []byte, item func([]byte) []byte) []byte {
	first := true
	for {
		n := d.long()
		if n < 0 {
			n = -n
			d.long() // the block's size in bytes
		}
		if n == 0 || d.err != nil {
			return dst
		}
		for ; n > 0 && d.err == nil; n-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = item(dst)
		}
	}
}

func (d *avroReader) primitive(dst []byte, s *avro.PrimitiveSchema) []byte {
	switch s.Type() {
	case avro.Boolean:
		b := d.take(1)
		return strconv.AppendBool(dst, len(b) == 1 && b[0] == 1)
	case avro.Int, avro.Long:
		return strconv.AppendInt(dst, d.long(), 10)
	case avro.Float:
		if b := d.take(4); b != nil {
			return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
		}
	case avro.Double:
		if b := d.take(8); b != nil {
			return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
		}
	case avro.String:
		return appendJSON(dst, string(d.take(d.long())))
	case avro.Bytes:
		b := d.take(d.long())
		if scale, isDecimal := decimalScale(s); isDecimal {
			return append(dst, decimalText(b, scale)...)
		}
		return appendJSON(dst, base64.StdEncoding.EncodeToString(b))
	}
	return dst
}

func decimalScale(s *avro.PrimitiveSchema) (int, bool) {
	if l, isDecimal := s.Logical().(*avro.DecimalLogicalSchema); isDecimal {
		return l.Scale(), true
	}
	return 0, false
}

// decimalText writes a big-endian two's-complement number with its point.
func decimalText(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if scale <= 0 {
		return n.String() + strings.Repeat("0", -scale)
	}
	digits := new(big.Int).Abs(n).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// appendFloat writes what JSON has no number for as text.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendJSON(dst, strconv.FormatFloat(f, 'g', -1, bits))
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

func appendJSON(dst []byte, text string) []byte { return append(dst, quoteYAML(text, false)...) }
