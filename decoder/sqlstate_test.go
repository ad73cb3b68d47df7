package decoder

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestSQLStates walks what a server can answer to what this package does: each SQLSTATE that can meet us has
// a code of its own, or stands here with E119 where only the server's words say what is wrong.
func TestSQLStates(t *testing.T) {
	for _, test := range []struct {
		state, message, code string
		retry                bool
	}{
		{"28P01", `password authentication failed for user "u"`, codePassword, false},
		{"28000", `no pg_hba.conf entry for host "::1", user "u", database "d"`, codeHostRule, false},
		{"28000", `role "u" is not permitted to log in`, codePassword, false},
		{"3D000", `database "d" does not exist`, codeDatabase, false},
		{"42501", "permission denied for table t", codeRight, false},
		{"42501", "permission denied to start WAL sender", codeReplication, false},
		{"42501", "must be superuser or replication role to use replication slots", codeReplication, false},
		{"53300", "sorry, too many clients already", codeFull, true},
		{"53300", "number of requested standby connections exceeds max_wal_senders", codeSenders, true},
		{"53400", "all replication slots are in use", codeSlots, true},
		{"53100", "could not extend file: No space left on device", codeRefused, true},
		{"53200", "out of memory", codeRefused, true},
		{"55000", `logical decoding requires wal_level >= logical`, codeWALLevel, false},
		{"55000", `database "d" is not currently accepting connections`, codeRefused, false},
		{"57P01", "terminating connection due to administrator command", codeShutdown, true},
		{"57P02", "terminating connection because of crash of another server process", codeShutdown, true},
		{"57P03", "the database system is starting up", codeShutdown, true},
		{"57P04", "database was dropped", codeDatabase, false},
		{"57P05", "terminating connection due to idle-session timeout", codeBroken, true},
		{"57014", "canceling statement due to user request", codeRefused, true},
		{"55P03", "canceling statement due to lock timeout", codeRefused, true},
		{"08006", "connection failure", codeBroken, true},
		{"08P01", "unsupported startup parameter: replication", codePooler, false},
		{"58P01", "could not open file pg_wal/0001: No such file or directory", codeRefused, true},
		{"58030", "could not read block 0: Input/output error", codeRefused, true},
		{"40001", "terminating connection due to conflict with recovery", codeBroken, true},
		{"XX000", "cache lookup failed for relation 1", codeRefused, true},
		{"42P01", `relation "t" does not exist`, codeRefused, false},
	} {
		err := fault("connect to h:1/d as u", &pgconn.PgError{Code: test.state, Message: test.message})
		coded, ok := err.(interface{ ErrorCode() string })
		if !ok || coded.ErrorCode() != test.code || Retryable(err) != test.retry {
			t.Errorf("%s %s: want %s, retryable %t; got %v, retryable %t", test.state, test.message, test.code,
				test.retry, coded, Retryable(err))
		}
	}
}
