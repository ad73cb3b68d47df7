package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// awsStub plays what AWS's library asks: the endpoints that give credentials, and the services.
type awsStub struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex // guards what follows
	issued  int        // credentials given out
	asked   []string   // questions, by what was asked
	secrets []string   // answers of Secrets Manager in turn, the last one again and again
	refuse  string     // the code that services refuse with, empty for none
	brokers map[string]string
}

// stubToken is what the container endpoint and the identity provider want to see.
const stubToken = "token-of-the-pod"

// newAWSStub starts the stub and points AWS's library at it and at nothing else.
func newAWSStub(t *testing.T) *awsStub {
	t.Helper()
	s := &awsStub{t: t, secrets: []string{`{"username":"cdc","password":"` + canary + `"}`}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": s.URL, "AWS_ENDPOINT_URL_STS": s.URL, "AWS_REGION": "eu-test-1",
		"AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	return s
}

// tokenFile writes the token that proves the pod.
func (s *awsStub) tokenFile(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(stubToken), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// podIdentity has credentials come from the container endpoint, as EKS Pod Identity sets it up.
func (s *awsStub) podIdentity(t *testing.T) {
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL+"/v1/credentials")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", s.tokenFile(t))
}

func (s *awsStub) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("stub: %v", err)
	}
	form, _ := url.ParseQuery(string(body)) // of STS only
	target, action := r.Header.Get("X-Amz-Target"), form.Get("Action")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Path+target+action)
	switch {
	case r.URL.Path == "/v1/credentials":
		if r.Header.Get("Authorization") != stubToken {
			s.t.Errorf("container endpoint: asked with %q", r.Header.Get("Authorization"))
		}
		s.credentials(w, "Token")
	case r.URL.Path == "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		fmt.Fprint(w, "session-of-imds")
	case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
		fmt.Fprint(w, "node-role")
	case r.URL.Path == "/latest/meta-data/iam/security-credentials/node-role":
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session-of-imds" {
			s.t.Error("IMDS: asked without the session's token")
		}
		s.credentials(w, "Token")
	case action == "AssumeRoleWithWebIdentity":
		if form.Get("WebIdentityToken") != stubToken {
			s.t.Errorf("STS: the web identity is %q", form.Get("WebIdentityToken"))
		}
		s.issued++
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
			<AccessKeyId>AKID%d</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>
			<Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
			</AssumeRoleWithWebIdentityResponse>`, s.issued, canary, canary, s.expiry())
	default:
		s.service(w, r, body, target+action)
	}
}

// expiry is near, so that credentials are fetched anew for each use.
func (s *awsStub) expiry() string { return time.Now().Add(time.Second).UTC().Format(time.RFC3339) }

func (s *awsStub) credentials(w http.ResponseWriter, tokenField string) {
	s.issued++
	fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"AKID%d","SecretAccessKey":%q,%q:%q,"Expiration":%q}`,
		s.issued, canary, tokenField, canary, s.expiry())
}

// service answers what is asked with a signature.
func (s *awsStub) service(w http.ResponseWriter, r *http.Request, body []byte, call string) {
	if problem := badSignature(r, body); problem != "" {
		s.t.Errorf("%s %s: %s", r.URL.Path, call, problem)
	}
	if s.refuse != "" {
		w.Header().Set("X-Amzn-Errortype", s.refuse+":http://internal.amazon.com/x")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazon#%s","Message":"User: arn:aws:iam::1:x is not authorized"}`, s.refuse)
		return
	}
	switch {
	case call == "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::111122223333:`+
			`assumed-role/tributary/pod</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	case call == "secretsmanager.GetSecretValue":
		fmt.Fprintf(w, `{"Name":"n","SecretString":%q,"CreatedDate":%d.0}`, s.secrets[0],
			time.Now().Add(-5*time.Hour).Unix())
		s.secrets = s.secrets[min(1, len(s.secrets)-1):]
	case call == "AmazonSSM.GetParameter":
		var asked struct {
			Name           string
			WithDecryption bool
		}
		if json.Unmarshal(body, &asked) != nil || asked.Name != "/cdc/password" || !asked.WithDecryption {
			s.t.Errorf("SSM: asked %s", body)
		}
		fmt.Fprintf(w, `{"Parameter":{"Name":"/cdc/password","Type":"SecureString","Value":%q,`+
			`"LastModifiedDate":%d}}`, canary, time.Now().Add(-30*time.Minute).Unix())
	case strings.HasSuffix(r.URL.EscapedPath(), "%3A5%3Acluster%2Forders%2Fabc-1/bootstrap-brokers"):
		text, _ := json.Marshal(s.brokers)
		_, _ = w.Write(text)
	default:
		s.t.Errorf("stub: nobody answers %s %s", r.URL.EscapedPath(), call)
		w.WriteHeader(http.StatusNotFound)
	}
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 ` +
	`Credential=AKID\d+/(\d{8})/([a-z0-9-]+)/([a-z-]+)/` +
	`aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

// badSignature recomputes a request's signature by AWS's description of version 4, and says what differs.
func badSignature(r *http.Request, body []byte) string {
	parts := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if parts == nil {
		return "not signed: " + r.Header.Get("Authorization")
	}
	canonical := r.Method + "\n" + strings.ReplaceAll(r.URL.EscapedPath(), "%", "%25") + "\n" +
		strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") + "\n"
	for _, name := range strings.Split(parts[4], ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + parts[4] + "\n" + digest(body)
	scope := strings.Join([]string{parts[1], parts[2], parts[3], "aws4_request"}, "/")
	signed := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + digest([]byte(canonical))
	if want := hex.EncodeToString(mac(signingKey(parts[1:4]), signed)); want != parts[5] {
		return "the signature is wrong, of\n" + canonical
	}
	return ""
}

// badToken recomputes the signature of a token for RDS, which is a presigned URL without its scheme.
func badToken(token string) string {
	u, err := url.Parse("https://" + token)
	if err != nil {
		return "no URL"
	}
	query := u.Query()
	signature := query.Get("X-Amz-Signature")
	query.Del("X-Amz-Signature")
	credential := strings.Split(query.Get("X-Amz-Credential"), "/")
	if len(credential) != 5 {
		return "no credential"
	}
	var pairs []string
	for name := range query {
		pairs = append(pairs, url.QueryEscape(name)+"="+strings.ReplaceAll(url.QueryEscape(query.Get(name)), "+",
			"%20"))
	}
	sort.Strings(pairs)
	canonical := "GET\n" + textOr(u.Path, "/") + "\n" + strings.Join(pairs,
		"&") + "\nhost:" + u.Host + "\n\nhost\n" + digest(nil)
	signed := "AWS4-HMAC-SHA256\n" + query.Get("X-Amz-Date") + "\n" + strings.Join(credential[1:], "/") + "\n" +
		digest([]byte(canonical))
	if want := hex.EncodeToString(mac(signingKey(credential[1:4]), signed)); want != signature {
		return "the signature is wrong, of\n" + canonical
	}
	return ""
}

// signingKey is made of date, region and service.
func signingKey(scope []string) []byte {
	key := []byte("AWS4" + canary)
	for _, part := range append(append([]string(nil), scope...), "aws4_request") {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
