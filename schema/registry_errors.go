package schema

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/riferrei/srclient"
)

// RegistryDownError is a registry that did not answer, or that it cannot answer now. It never holds a secret.
type RegistryDownError struct {
	Doing, URL string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	Err    error
}

// Error says what was asked where, and what happened.
func (e *RegistryDownError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s at %s: it answers %d %s", e.Doing, e.URL, e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("%s at %s: %v", e.Doing, e.URL, e.Err)
}

// Unwrap returns the transport's error.
func (e *RegistryDownError) Unwrap() error { return e.Err }

// Retryable is true: registries come back.
func (e *RegistryDownError) Retryable() bool { return true }

// RegistryAuthError is a registry that refuses the secret, or the right that the request needs.
type RegistryAuthError struct {
	Doing, URL string
	Status     int // 401 or 403
	User       string
}

// Error says who was refused and what to do.
func (e *RegistryAuthError) Error() string {
	who := "no user"
	if e.User != "" {
		who = "user " + e.User
	}
	if e.Status == http.StatusForbidden {
		return fmt.Sprintf("%s at %s: %s may not (403): grant it to read and write the subject, or register the "+
			"schema "+
			"by hand", e.Doing, e.URL, who)
	}
	return fmt.Sprintf("%s at %s: %s or its secret is not accepted (401): set the registry's user and "+
		"password, or its "+
		"token", e.Doing, e.URL, who)
}

// Retryable is false: the secret was read just now.
func (e *RegistryAuthError) Retryable() bool { return false }

// NeedsPerson is true: the registry would refuse again.
func (e *RegistryAuthError) NeedsPerson() bool { return true }

// IncompatibleError is a schema that the registry's compatibility rule refuses.
type IncompatibleError struct {
	Subject string
	// Detail is the registry's own text, Finding what comparing with the latest version shows; each may be
	// empty.
	Detail, Finding string
}

// Error says what does not fit, between which schemas, and the ways out.
func (e *IncompatibleError) Error() string {
	text := "register schema " + e.Subject + ": it is not compatible with the versions before it"
	if e.Finding != "" {
		text += ": " + e.Finding
	}
	if e.Detail != "" {
		text += ": the registry says: " + e.Detail
	}
	return text + ": either change the table so that the new schema can read old data (a new column nullable " +
		"or with a " +
		"default), or lower the subject's compatibility (to NONE, for the time of one registration), or route " +
		"the table " +
		"to a new topic"
}

// Retryable is false, NeedsPerson true: the same schema meets the same rule.
func (e *IncompatibleError) Retryable() bool { return false }

// NeedsPerson is true.
func (e *IncompatibleError) NeedsPerson() bool { return true }

// RegistryError is any other refusal, such as 422 for a schema that the registry takes for invalid.
type RegistryError struct {
	Doing, URL string
	Status     int
	// Number is the registry's own error_code, 0 where it gives none.
	Number int
	Detail string
}

// Error repeats what the registry says.
func (e *RegistryError) Error() string {
	return fmt.Sprintf("%s at %s: it refuses with %d %s: %s", e.Doing, e.URL, e.Status,
		http.StatusText(e.Status), e.Detail)
}

// Retryable is false.
func (e *RegistryError) Retryable() bool { return false }

// NeedsPerson is true: it would be refused again.
func (e *RegistryError) NeedsPerson() bool { return true }

// fault gives an error of srclient its type.
func (c *registryCall) fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	if c.secret != nil {
		return fmt.Errorf("%s: %w", doing, c.secret)
	}
	base := c.registry.base
	switch {
	case c.status >= 200 && c.status < 300 && c.broken != nil:
		return &RegistryDownError{Doing: doing, URL: base, Status: c.status, Err: c.broken}
	case c.status >= 200 && c.status < 300:
		// It answered with something that is no answer: another service, or a proxy's page.
		return &RegistryError{Doing: doing, URL: base, Status: c.status, Detail: "the answer is not the " +
			"registry's: " +
			"the URL may lack its path"}
	case c.status == 0 || c.status == http.StatusTooManyRequests || c.status >= 500:
		var wrapped *url.Error // it tells the whole URL once more
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return &RegistryDownError{Doing: doing, URL: base, Status: c.status, Err: err}
	case c.status == http.StatusUnauthorized || c.status == http.StatusForbidden:
		return &RegistryAuthError{Doing: doing, URL: base, Status: c.status, User: c.registry.o.User}
	case c.status == http.StatusConflict:
		return &IncompatibleError{Detail: detailOf(err)}
	}
	refused := &RegistryError{Doing: doing, URL: base, Status: c.status, Detail: detailOf(err)}
	if said := (srclient.Error{}); errors.As(err, &said) {
		refused.Number = said.Code
	}
	return refused
}

// detailOf returns what the registry said, bounded, on one line.
func detailOf(err error) string {
	text := err.Error()
	if said := (srclient.Error{}); errors.As(err, &said) && said.Message != "" {
		text = said.Message
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > registryDetail {
		text = text[:registryDetail] + "..."
	}
	return text
}

// releasingBody ends the request's context when its response was read, and remembers an answer that broke
// off: what has come of it may look like another service's.
type releasingBody struct {
	io.ReadCloser
	call    *registryCall
	release func()
}

// Read reads from the body.
func (b *releasingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.call.broken = err
	}
	return n, err
}

// Close closes the body.
func (b *releasingBody) Close() error {
	err := b.ReadCloser.Close()
	b.release()
	return err
}
