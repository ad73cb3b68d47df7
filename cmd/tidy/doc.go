// Package tidy keeps the rules of this house: its tests read every file of the module and fail where one
// breaks a rule.
//
// Guarantees: a rule that a machine can keep is kept here and not in a document; each limit stands in one
// table, limits_test.go, with its reason beside it, and is raised there in the commit that needs it; and
// each rule is shown to fail on a piece of source that breaks it.
//
// Ownership: nothing is written and nothing stays open. It holds no code of the program: census.go, which
// prints the numbers of a directory, runs by itself with go run cmd/tidy/census.go DIRECTORY...
package tidy
