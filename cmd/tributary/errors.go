package main

import (
	"context"
	"errors"

	"github.com/tributary-cdc/tributary/decoder"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1   // a runtime failure
	exitUsage  = 2   // a wrong command line or configuration
	exitCheck  = 3   // check found something that blocks run
	exitPerson = 4   // nothing helps but a person: lost slot, gap, incompatible schema
	exitSignal = 130 // interrupted a second time
)

// usageError is a wrong command line. It exits 2.
type usageError struct{ error }

// Unwrap returns the error inside.
func (e usageError) Unwrap() error { return e.error }

// ExitCode is that of a wrong command line.
func (e usageError) ExitCode() int { return exitUsage }

// codedError carries its exit code. A message that is empty prints nothing: the command said it all.
type codedError struct {
	error
	code int
}

// Unwrap returns the error inside.
func (e codedError) Unwrap() error { return e.error }

// ExitCode is the code that the error was given.
func (e codedError) ExitCode() int { return e.code }

// faultError is an error of this package with its code in the catalogue.
type faultError struct {
	error
	code string
}

// Unwrap returns the error inside.
func (e faultError) Unwrap() error { return e.error }

// ErrorCode is the code that the error was given.
func (e faultError) ErrorCode() string { return e.code }

// exitCode is the code that an error of any package stands for. The packages say it by method: ExitCode for a
// number, NeedsPerson for states that no restart helps.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	var person interface{ NeedsPerson() bool }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.As(err, &person) && person.NeedsPerson(), ofDecoder(err):
		return exitPerson
	case errors.Is(err, context.Canceled):
		return exitSignal
	}
	return exitFailed
}

// ofDecoder names the states of package decoder that no restart helps.
func ofDecoder(err error) bool {
	var missing *decoder.SlotMissingError
	var lost *decoder.SlotLostError
	var publication *decoder.PublicationError
	return errors.As(err, &missing) || errors.As(err, &lost) || errors.As(err, &publication)
}

// retryable reports whether starting anew may help, as the error itself says.
func retryable(err error) bool {
	return decoder.Retryable(err)
}

// needsPerson marks an error that no restart helps.
type needsPerson struct{ error }

// Unwrap returns the error inside.
func (e needsPerson) Unwrap() error { return e.error }

// NeedsPerson is true, unless the error inside says that trying again may help.
func (e needsPerson) NeedsPerson() bool { return !retryable(e.error) }
