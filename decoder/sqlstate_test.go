package decoder

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Why E119, whose fix is the server's own words, is enough for a SQLSTATE.
const (
	whyResource = "the server lacks a resource, which its words name; it is tried again"
	whyInternal = "nothing that we ask leads there: an error inside the server, which its log explains"
	whyTable    = "the words name the object; what is captured has codes of its own (E135, E137, E154)"
	whyData     = "no value of ours is sent; it comes from heartbeat.query or a fault in the server"
	whySQL      = "nothing that we ask leads there; heartbeat.query, a trigger or a function of the database may"
	whyNever    = "no error: a class of success or warning"
)

// sqlStateClasses are the classes of Postgres's manual, appendix A.
var sqlStateClasses = []string{
	"00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24",
	"25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53", "54",
	"55", "57", "58", "F0", "HV", "P0", "XX",
}

// sqlStates are what a server can answer to what this package does: each has a code of its own, or E119 and
// the reason why the server's words are enough.
var sqlStates = []struct {
	state, message, code string
	retry                bool
	why                  string
}{
	{"28P01", `password authentication failed for user "u"`, codePassword, false, ""},
	{"28000", `no pg_hba.conf entry for host "::1", user "u", database "d"`, codeHostRule, false, ""},
	{"28000", `role "u" is not permitted to log in`, codePassword, false, ""},
	{"3D000", `database "d" does not exist`, codeDatabase, false, ""},
	{"42501", "permission denied for table t", codeRight, false, ""},
	{"42501", "permission denied to start WAL sender", codeReplication, false, ""},
	{"42501", "must be superuser or replication role to use replication slots", codeReplication, false, ""},
	{"53300", "sorry, too many clients already", codeFull, true, ""},
	{"53300", "number of requested standby connections exceeds max_wal_senders", codeSenders, true, ""},
	{"53400", "all replication slots are in use", codeSlots, true, ""},
	{"53100", "could not extend file: No space left on device", codeRefused, true, whyResource},
	{"53200", "out of memory", codeRefused, true, whyResource},
	{"53000", "insufficient resources", codeRefused, true, whyResource},
	{"54000", "invalid memory alloc request size 1", codeRefused, false, "of a row it is E158: unsendable"},
	{"55000", `logical decoding requires wal_level >= logical`, codeWALLevel, false, ""},
	{"55000", `database "d" is not currently accepting connections`, codeRefused, false, "check names it"},
	{"55006", `replication slot "s" is active for PID 7`, codeRefused, false, "of the slot it is E123"},
	{"55P03", "canceling statement due to lock timeout", codeRefused, true, whyResource},
	{"57P01", "terminating connection due to administrator command", codeShutdown, true, ""},
	{"57P02", "terminating connection because of crash of another server process", codeShutdown, true, ""},
	{"57P03", "the database system is starting up", codeShutdown, true, ""},
	{"57P04", "database was dropped", codeDatabase, false, ""},
	{"57P05", "terminating connection due to idle-session timeout", codeBroken, true, ""},
	{"57014", "canceling statement due to user request", codeRefused, true, "canceled; it is tried again"},
	{"08000", "connection exception", codeBroken, true, ""},
	{"08006", "connection failure", codeBroken, true, ""},
	{"08P01", "unsupported startup parameter: replication", codePooler, false, ""},
	{"58P01", "could not open file pg_wal/0001", codeRefused, true, "the slot tells: E122"},
	{"58030", "could not read block 0: Input/output error", codeRefused, true, whyResource},
	{"40001", "terminating connection due to conflict with recovery", codeBroken, true, ""},
	{"40P01", "deadlock detected", codeBroken, true, ""},
	{"XX000", "cache lookup failed for relation 1", codeRefused, true, whyInternal},
	{"XX001", "invalid page in block 0 of relation base/1/2", codeRefused, false, whyInternal},
	{"42P01", `relation "t" does not exist`, codeRefused, false, whyTable},
	{"42704", `publication "p" does not exist`, codeRefused, false, "of the stream it is E125"},
	{"42710", `replication slot "s" already exists`, codeRefused, false, "another was faster"},
	{"3F000", `schema "s" does not exist`, codeRefused, false, whyTable},
	{"0A000", "cannot execute in a transaction block", codeRefused, false, "the server cannot do it"},
	{"22021", `invalid byte sequence for encoding "UTF8": 0x00`, codeRefused, false, "its advice says more"},
	{"23505", "duplicate key value violates unique constraint", codeRefused, false, whyData},
	{"00000", "successful completion", codeRefused, false, whyNever},
	{"01000", "warning", codeRefused, false, whyNever},
	{"02000", "no data", codeRefused, false, whyNever},
	{"03000", "SQL statement not yet complete", codeRefused, false, whyInternal},
	{"09000", "triggered action exception", codeRefused, false, whySQL},
	{"0B000", "invalid transaction initiation", codeRefused, false, whySQL},
	{"0F001", "invalid locator specification", codeRefused, false, whySQL},
	{"0L000", "invalid grantor", codeRefused, false, whySQL},
	{"0P000", "invalid role specification", codeRefused, false, whySQL},
	{"0Z002", "stacked diagnostics accessed without active handler", codeRefused, false, whySQL},
	{"10608", "invalid XQuery item", codeRefused, false, whySQL},
	{"20000", "case not found", codeRefused, false, whySQL},
	{"21000", "more than one row returned by a subquery", codeRefused, false, whySQL},
	{"24000", "invalid cursor state", codeRefused, false, whySQL},
	{"25006", "cannot execute INSERT in a read-only transaction", codeRefused, false, whySQL},
	{"26000", "prepared statement does not exist", codeRefused, false, whyInternal},
	{"27000", "triggered data change violation", codeRefused, false, whySQL},
	{"2B000", "dependent privilege descriptors still exist", codeRefused, false, whySQL},
	{"2D000", "invalid transaction termination", codeRefused, false, whySQL},
	{"2F000", "SQL routine exception", codeRefused, false, whySQL},
	{"34000", "cursor does not exist", codeRefused, false, whyInternal},
	{"38000", "external routine exception", codeRefused, false, whySQL},
	{"39000", "external routine invocation exception", codeRefused, false, whySQL},
	{"3B000", "savepoint exception", codeRefused, false, whySQL},
	{"44000", "new row violates check option", codeRefused, false, whySQL},
	{"F0000", "configuration file error", codeRefused, false, whyInternal},
	{"HV000", "foreign data wrapper error", codeRefused, false, "no foreign table is captured"},
	{"P0001", "raised by a function", codeRefused, false, whySQL},
}

// TestSQLStates: every class of SQLSTATE has a code, or a reason to have the general one.
func TestSQLStates(t *testing.T) {
	classes := map[string]bool{}
	for _, test := range sqlStates {
		classes[test.state[:2]] = true
		if (test.code == codeRefused) != (test.why != "") {
			t.Errorf("%s: want a code of its own, or a reason: %s, %q", test.state, test.code, test.why)
		}
		err := fault("connect to h:1/d as u", &pgconn.PgError{Code: test.state, Message: test.message})
		coded, ok := err.(interface{ ErrorCode() string })
		if !ok || coded.ErrorCode() != test.code || Retryable(err) != test.retry {
			t.Errorf("%s %s: want %s, retryable %t; got %v, retryable %t", test.state, test.message, test.code,
				test.retry, coded, Retryable(err))
		}
	}
	for _, class := range sqlStateClasses {
		if !classes[class] {
			t.Errorf("class %s has neither a code nor a reason", class)
		}
	}
}
