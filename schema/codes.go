package schema

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
)

// The codes of this package's errors. What each means and what helps is in the catalogue that `tributary
// errors` prints; a code never changes its meaning.
const (
	codeValue        = "E151"
	codeDown         = "E301"
	codeSecret       = "E302"
	codeForbidden    = "E303"
	codeIncompatible = "E304"
	codeRefused      = "E305"
	codeReadOnly     = "E306"
	codeName         = "E307"
	codeCertificate  = "E308"
)

// ErrorCode is that of a value that its column's schema cannot carry.
func (e *ValueError) ErrorCode() string { return codeValue }

// ErrorCode tells a name that is not known, and a certificate that is not accepted, from a registry that is
// down.
func (e *RegistryDownError) ErrorCode() string {
	var dns *net.DNSError
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case e.Err == nil:
	case errors.As(e.Err, &dns):
		return codeName
	case errors.As(e.Err, &verification), errors.As(e.Err, &unknown):
		return codeCertificate
	}
	return codeDown
}

// ErrorCode tells who is not known from who may not.
func (e *RegistryAuthError) ErrorCode() string {
	if e.Status == http.StatusForbidden {
		return codeForbidden
	}
	return codeSecret
}

// ErrorCode is that of a schema against the compatibility rule.
func (e *IncompatibleError) ErrorCode() string { return codeIncompatible }

// notPermitted is Confluent's error_code for what the mode of registry or subject does not allow.
const notPermitted = 42205

// ErrorCode tells a registry that is read-only from any other refusal.
func (e *RegistryError) ErrorCode() string {
	if e.Number == notPermitted {
		return codeReadOnly
	}
	return codeRefused
}
