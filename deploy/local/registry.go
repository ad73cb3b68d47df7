package local

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// StartRegistry starts an in-process schema registry with Confluent's API and returns its address. Like the
// real one by default, it refuses a schema that cannot read what the subject's latest version wrote
// (BACKWARD). The caller calls stop.
func StartRegistry() (url string, stop func()) {
	fake := srfake.New(srfake.WithGlobalCompat(sr.CompatBackward))
	fake.Intercept(func(w http.ResponseWriter, req *http.Request) bool { return refuse(fake, w, req) })
	return fake.URL(), fake.Close
}

// refuse answers a registration that is not Avro with 422, an incompatible one with 409, the question whether
// one would be with no, and leaves every other request to the fake, which checks nothing by itself.
func refuse(fake *srfake.Registry, w http.ResponseWriter, req *http.Request) bool {
	asks := strings.HasPrefix(req.URL.Path, "/compatibility/")
	path := strings.TrimSuffix(strings.TrimPrefix(req.URL.Path, "/compatibility"), "/latest")
	subject, found := strings.CutSuffix(strings.TrimPrefix(path, "/subjects/"), "/versions")
	if req.Method != http.MethodPost || !found {
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return answer(w, http.StatusBadRequest, 42201, err.Error())
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var schema sr.Schema
	if err := json.Unmarshal(body, &schema); err != nil || schema.Type != sr.TypeAvro {
		return false
	}
	reader, err := parse(schema.Schema)
	if err != nil {
		return answer(w, http.StatusUnprocessableEntity, 42201, fmt.Sprintf("Invalid schema: %v", err))
	}
	previous, found, same := latest(fake, subject, schema.Schema)
	if !found || same && !asks {
		return false // a text that any version has keeps its id: nothing is registered
	}
	writer, err := parse(previous)
	if err != nil {
		return answer(w, http.StatusInternalServerError, 50001, err.Error())
	}
	if err := avro.NewSchemaCompatibility().Compatible(reader, writer); err != nil && asks {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		_, _ = io.WriteString(w, `{"is_compatible":false}`)
		return true
	} else if err != nil {
		return answer(w, http.StatusConflict, 409, fmt.Sprintf(
			"Schema being registered is incompatible with an earlier schema for subject %q, details: [%v]",
			subject, err))
	}
	return false
}

// latest returns the text of a subject's latest version, and whether any version has the given text.
func latest(fake *srfake.Registry, subject, given string) (text string, found, same bool) {
	for version := 1; ; version++ {
		schema, ok := fake.GetSchema(subject, version)
		if !ok {
			return text, found, same
		}
		text, found = schema.Schema.Schema, true
		same = same || text == given
	}
}

// parse reads a schema on its own: two versions define the same names.
func parse(text string) (avro.Schema, error) {
	return avro.ParseWithCache(text, "", &avro.SchemaCache{})
}

// answer writes a registry error and says that the request is handled.
func answer(w http.ResponseWriter, status, code int, message string) bool {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	body, _ := json.Marshal(sr.ResponseError{ErrorCode: code, Message: message})
	_, _ = w.Write(body)
	return true
}
