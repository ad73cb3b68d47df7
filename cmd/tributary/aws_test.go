package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	msk "github.com/twmb/franz-go/pkg/sasl/aws"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestCredentialChain finds credentials in each place where a pod has them, and logs in to MSK with them.
func TestCredentialChain(t *testing.T) {
	for name, set := range map[string]func(t *testing.T, s *awsStub){
		"container endpoint (Pod Identity)": func(t *testing.T, s *awsStub) { s.podIdentity(t) },
		"web identity (IRSA)": func(t *testing.T, s *awsStub) {
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/tributary")
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", s.tokenFile(t))
		},
		"the node's role": func(t *testing.T, s *awsStub) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL)
		},
		"environment variables": func(t *testing.T, _ *awsStub) {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKID1")
			t.Setenv("AWS_SECRET_ACCESS_KEY", canary)
			t.Setenv("AWS_SESSION_TOKEN", canary)
		},
	} {
		t.Run(name, func(t *testing.T) {
			set(t, newAWSStub(t))
			a := &awsAccess{}
			arn, source, err := a.identity(t.Context())
			if err != nil || source != name || arn != "arn:aws:sts::111122223333:assumed-role/tributary/pod" {
				t.Errorf("got %s by %s, %v", arn, source, err)
			}
			const broker = "b-1.orders.x.c2.kafka.us-east-1.amazonaws.com:9098"
			_, first, err := msk.ManagedStreamingIAM(a.mskLogin).Authenticate(t.Context(), broker)
			var login map[string]string
			if err != nil || json.Unmarshal(first, &login) != nil {
				t.Fatalf("%s, %v", first, err)
			}
			if !strings.HasPrefix(login["x-amz-credential"], "AKID") || login["x-amz-security-token"] != canary ||
				!strings.HasSuffix(login["x-amz-credential"], "/us-east-1/kafka-cluster/aws4_request") ||
				login["action"] != "kafka-cluster:Connect" || login["user-agent"] != "tributary" {
				t.Errorf("the login is %s", first)
			}
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		newAWSStub(t)
		_, source, err := (&awsAccess{}).identity(t.Context())
		if err == nil || source != "" || !strings.HasPrefix(err.Error(), "find AWS credentials: ") ||
			!retryable(err) {
			t.Errorf("got %q, %v", source, err)
		}
	})
}

// TestAWSSecrets reads secrets and parameters, in each form that AWS itself stores.
func TestAWSSecrets(t *testing.T) {
	s := newAWSStub(t)
	s.podIdentity(t)
	a := &awsAccess{}
	const arn = "arn:aws:secretsmanager:us-west-2:5:secret:cdc-AbCdEf"
	for _, test := range []struct {
		source SecretSource
		stored string
		want   string // of the value or, with a colon, of the error
	}{
		{"secretsmanager:cdc", canary, canary},
		{"secretsmanager:cdc", `{"username":"u","password":"` + canary + `"}`, canary},
		{arn + "#other", "", "want file:PATH"},
		{"secretsmanager:" + arn + "#other", `{"other":"` + canary + `"}`, canary},
		{"secretsmanager:cdc#other", `{"password":"` + canary + `"}`, "no text called other: name the key"},
		{"secretsmanager:cdc", `{"pass":"` + canary + `"}`, "no text called password: name the key"},
		{"secretsmanager:cdc", `{"password":{"x":"` + canary + `"}}`, "no text called password: name the key"},
		{"secretsmanager:cdc#x", canary, "it is no JSON object"},
		{"ssm:/cdc/password", "", canary},
		{"ssm:", "", "want file:PATH"},
	} {
		s.secrets = []string{test.stored}
		secret, err := test.source.Resolve(t.Context(), a)
		if test.want == canary && (err != nil || string(secret) != canary) ||
			test.want != canary && (err == nil || !strings.Contains(err.Error(), test.want) ||
				strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: got %v, want %s", test.source, err, test.want)
		}
	}
	for code, retry := range map[string]bool{"AccessDeniedException": false, "ThrottlingException": true} {
		s.refuse = code
		_, err := SecretSource("secretsmanager:cdc").Resolve(t.Context(), a)
		want := "read secret cdc: " + code + ": User: arn:aws:iam::1:x is not authorized"
		wantCode := map[bool]string{true: "E607", false: "E608"}[retry]
		if err == nil || err.Error() != want || retryable(err) != retry || codeOf(err) != wantCode {
			t.Errorf("got %v, retryable %t, want %s", err, retryable(err), want)
		}
	}
	s.Close()
	_, err := SecretSource("secretsmanager:cdc").Resolve(t.Context(), a)
	if err == nil || !retryable(err) || strings.Contains(err.Error(), canary) {
		t.Errorf("nobody answers: %v", err)
	}
}

// TestBrokersOfCluster takes the addresses that fit the login.
func TestBrokersOfCluster(t *testing.T) {
	s := newAWSStub(t)
	s.podIdentity(t)
	c := defaultConfig()
	c.Kafka.MSKClusterARN = "arn:aws:kafka:us-east-1:5:cluster/orders/abc-1"
	s.brokers = map[string]string{
		"bootstrapBrokerStringSaslIam":         "b-1:9098,b-2:9098",
		"bootstrapBrokerStringPublicSaslIam":   "p-1:9198",
		"bootstrapBrokerStringPublicSaslScram": "p-1:9196",
		"bootstrapBrokerStringTls":             "b-1:9094",
	}
	for _, test := range []struct{ auth, tls, want string }{
		{"msk_iam", "auto", "[b-1:9098 b-2:9098] <nil>"},
		{"scram_sha_512", "auto", "[p-1:9196] <nil>"},
		{"mtls", "auto", "[b-1:9094] <nil>"},
		{"none", "true", "[b-1:9094] <nil>"},
		{"none", "auto", "[] look up the brokers of " + c.Kafka.MSKClusterARN + ": it has no listener for " +
			"clients " +
			"without TLS: it offers PublicSaslIam, PublicSaslScram, SaslIam, Tls"},
	} {
		c.Kafka.Auth, c.Kafka.TLS.Enabled = test.auth, test.tls
		brokers, err := kafkaBrokers(t.Context(), c)
		if got := fmt.Sprint(brokers, err); got != test.want && got != "[] "+test.want {
			t.Errorf("%s: got %s, want %s", test.auth, got, test.want)
		}
		if err != nil && codeOf(err) != "E609" {
			t.Errorf("%s: code %s", test.auth, codeOf(err))
		}
	}
}

// TestPasswordIsReadAgain: a secret that was changed between reading it and using it costs a second reading.
func TestPasswordIsReadAgain(t *testing.T) {
	s := newAWSStub(t)
	s.podIdentity(t)
	s.secrets = []string{`{"password":"stale"}`, `{"password":"postgres"}`}
	c := defaultConfig()
	c.Source.URL = URL(strings.Replace(local.Postgres(t), "postgres:postgres@", "postgres@", 1))
	c.Source.PasswordFrom = "secretsmanager:cdc"
	for range 2 {
		conn, err := decoder.Connect(t.Context(), sourceOptions(c))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if reads := strings.Count(strings.Join(s.asked, " "), "GetSecretValue"); reads != 3 {
		t.Errorf("the secret was read %d times, want 3: stale, fresh, and for the next connect", reads)
	}
}

// iamServer plays a Postgres that takes IAM tokens as RDS does: over TLS, in clear within. It refuses each
// with a code, and returns what it got.
func iamServer(t *testing.T, a *authority, codes ...string) (port string, got <-chan string) {
	t.Helper()
	certFile, keyFile := a.issue("rds", "localhost", 3600e9)
	config := a.server(certFile, keyFile, false)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	passwords := make(chan string, len(codes))
	go func() {
		for _, code := range codes {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			passwords <- refuseToken(conn, config, code)
			_ = conn.Close()
		}
	}()
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, passwords
}

// TestIAMToken: each connect makes its own token, for the address and user, and sends it over TLS alone.
func TestIAMToken(t *testing.T) {
	s := newAWSStub(t)
	s.podIdentity(t)
	a := newAuthority(t)
	port, got := iamServer(t, a, "28P01", "28000")
	c := defaultConfig()
	c.Source.URL = URL("postgres://cdc@localhost:" + port + "/db?sslrootcert=" + a.file)
	c.Source.Auth = "rds_iam"
	_, err := decoder.Connect(t.Context(), sourceOptions(c))
	var refused *decoder.AuthError
	if !errors.As(err, &refused) || strings.Contains(err.Error(), "X-Amz") || strings.Contains(err.Error(),
		canary) {
		t.Fatalf("got %v", err)
	}
	if fix := connectFix(c, err); !strings.Contains(fix, `GRANT rds_iam TO "cdc";`) {
		t.Errorf("fix: %s", fix)
	}
	first, second := <-got, <-got
	for _, token := range []string{first, second} {
		if problem := badToken(token); problem != "" {
			t.Errorf("%s: %s", token, problem)
		}
		for _, want := range []string{
			"localhost:" + port + "?", "Action=connect", "DBUser=cdc", "X-Amz-Expires=900",
			"%2Feu-test-1%2Frds-db%2Faws4_request",
		} {
			if !strings.Contains(token, want) {
				t.Errorf("%s: no %s", token, want)
			}
		}
	}
	if first == second {
		t.Error("one token was sent twice")
	}
	token, err := c.access().rdsToken(t.Context(), "db.abc.us-gov-west-1.rds.amazonaws.com:5432", "cdc")
	if err != nil || !strings.Contains(string(token), "%2Fus-gov-west-1%2Frds-db%2F") {
		t.Errorf("the region is not the host's: %v", err)
	}
	for _, mode := range []string{"disable", "prefer", "allow"} {
		port, got := iamServer(t, a, "28000")
		c.Source.URL = URL("postgres://cdc@localhost:" + port + "/db?sslmode=" + mode)
		_, err := decoder.Connect(t.Context(), sourceOptions(c))
		if mode == "disable" {
			if err == nil || !strings.Contains(err.Error(), "TLS is required") {
				t.Errorf("%s: %v", mode, err)
			}
			continue
		}
		if token := <-got; !strings.HasPrefix(token, "localhost:") {
			t.Errorf("%s: the server got %q, want a token over TLS", mode, token)
		}
	}
}

// TestLoginProblems names what cannot work before anybody is asked.
func TestLoginProblems(t *testing.T) {
	for _, test := range []struct{ set, want string }{
		{"source.auth=rds_iam source.password_from=env:X", "makes its own password"},
		{"source.auth=rds_iam source.password_from= source.url=postgres://u:p@h/db", "makes its own password"},
		{"source.auth=rds_iam source.password_from= source.url=postgres://h/db", "needs the role's name"},
		{"source.auth=rds_iam source.password_from= source.url=postgres://u@h,i/db", "needs one host"},
		{"source.auth=rds_iam source.password_from= source.url=postgres://u@h/db?sslmode=disable", "in clear: " +
			"want verify-full"},
		{"source.password_from=vault:x", "want file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME"},
		{"source.password_from=ssm:#x", "want file:PATH"},
		{"http.token_from=ssm:/x", "http.token_from: want file:PATH or env:NAME, never"},
		{"kafka.auth=mtls", "needs kafka.tls.cert_file"},
		{"kafka.auth=msk_iam kafka.tls.enabled=false", "msk_iam is over TLS only"},
		{"kafka.msk_cluster_arn=arn:aws:kafka:r:1:cluster/a/b", "kafka.brokers is given as well"},
		{"kafka.brokers= kafka.msk_cluster_arn=b:1", "want arn:aws:kafka:REGION"},
		{"kafka.brokers= kafka.msk_cluster_arn=arn:aws:kafka:r:1:cluster/a/b kafka.auth=plain kafka.user=u " +
			"kafka.password_from=env:X", "MSK has no listener for plain"},
		{"kafka.brokers= kafka.msk_cluster_arn=arn:aws:kafka:r:1:cluster/a/b kafka.auth=msk_iam", ""},
		{"source.auth=rds_iam source.password_from= source.url=postgres://u@h/db", ""},
	} {
		flags := map[string]string{}
		for _, pair := range strings.Fields(test.set) {
			name, value, _ := strings.Cut(pair, "=")
			flags[name] = value
		}
		_, err := load(loadOptions{File: "testdata/short.good.yaml", Environ: testEnvironment, Flags: flags})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.set, err, test.want)
		}
	}
}

// TestCheckAWS says who AWS takes us for, before it asks for anything else.
func TestCheckAWS(t *testing.T) {
	s := newAWSStub(t)
	s.podIdentity(t)
	args := []string{"check", "-c", "testdata/short.good.yaml", "--only", "aws", "--kafka-auth", "msk_iam"}
	code, stdout, stderr := execute(t, &program{environ: testEnvironment}, args...)
	if code != exitOK || !strings.Contains(strings.Join(strings.Fields(stdout), " "), "tributary/pod by "+
		"container") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	s.refuse = "AccessDenied"
	if code, stdout, _ = execute(t, &program{environ: testEnvironment}, args...); code != exitOK ||
		!strings.Contains(stdout, "warn  identity") || !strings.Contains(stdout, "[W604]") {
		t.Errorf("refused: exit code %d, %s", code, stdout)
	}
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
	if code, stdout, _ = execute(t, &program{environ: testEnvironment}, args...); code != exitCheck ||
		!strings.Contains(stdout, "service account") || strings.Contains(stdout, canary) {
		t.Errorf("nobody: exit code %d, %s", code, stdout)
	}
	s.refuse = ""
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL)
	if code, stdout, _ = execute(t, &program{environ: testEnvironment}, args...); code != exitOK ||
		!strings.Contains(flat(stdout), "by the node's role, which every pod of the node has [W604]") {
		t.Errorf("the node: exit code %d, %s", code, stdout)
	}
}

// refuseToken is the server's side of one login; the result is empty when nothing came over TLS.
func refuseToken(conn net.Conn, config *tls.Config, code string) string {
	backend := pgproto3.NewBackend(conn, conn)
	message, err := backend.ReceiveStartupMessage()
	if _, wants := message.(*pgproto3.SSLRequest); err != nil || !wants {
		return ""
	}
	if _, err := conn.Write([]byte("S")); err != nil {
		return ""
	}
	secured := tls.Server(conn, config)
	backend = pgproto3.NewBackend(secured, secured)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return ""
	}
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if backend.Flush() != nil || backend.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return ""
	}
	answer, err := backend.Receive()
	password, isPassword := answer.(*pgproto3.PasswordMessage)
	if err != nil || !isPassword {
		return ""
	}
	got := password.Password
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "PAM authentication failed"})
	_ = backend.Flush() // the client's error tells
	return got
}

// writeFile writes a file of a test's own and returns its name.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
