package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	msk "github.com/twmb/franz-go/pkg/sasl/aws"
)

// awsTimeout bounds one question to AWS, the fetching of credentials included.
const awsTimeout = 15 * time.Second

// awsAccess asks AWS as whoever the environment says we are, by the default chain of AWS's own library:
// variables, shared files, web identity (IRSA), the container endpoint (Pod Identity, ECS), the node's role.
// One serves a whole process, so that credentials are fetched once and again before they expire. Safe for
// concurrent use; the zero value and nil work too.
type awsAccess struct {
	region string // of the configuration; empty for what a name or the environment says

	mu     sync.Mutex // guards what follows
	loaded *aws.Config
	counts map[secretCount]int
}

// secretCount names a counter: where secrets were read from, and whether that went well.
type secretCount struct{ source, result string }

// count notes that a secret was read; a nil access notes nothing.
func (a *awsAccess) count(source string, err error) {
	if a == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "error"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts == nil {
		a.counts = map[secretCount]int{}
	}
	a.counts[secretCount{source, result}]++
}

// counted is how often secrets were read.
func (a *awsAccess) counted() map[secretCount]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.counts)
}

// awsError is a question to AWS that was not answered.
type awsError struct {
	doing string
	cause error
}

// Error gives AWS's own code and words where it answered; they name who asked, and what is not allowed.
func (e *awsError) Error() string {
	var answer interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(e.cause, &answer) && answer.ErrorMessage() != "" {
		return fmt.Sprintf("%s: %s: %s", e.doing, answer.ErrorCode(), answer.ErrorMessage())
	}
	return e.doing + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *awsError) Unwrap() error { return e.cause }

// Retryable is true unless AWS has answered that we may not, or that there is no such thing: networks,
// throttling and endpoints that are not there yet pass.
func (e *awsError) Retryable() bool {
	var refused interface{ HTTPStatusCode() int }
	if !errors.As(e.cause, &refused) || refused.HTTPStatusCode()/100 != 4 {
		return true
	}
	var answer interface{ ErrorCode() string }
	return errors.As(e.cause, &answer) && (strings.Contains(answer.ErrorCode(), "Throttl") ||
		strings.Contains(answer.ErrorCode(), "TooManyRequests") || strings.Contains(answer.ErrorCode(), "Expired"))
}

// access is how the configuration reaches AWS.
func (c Config) access() *awsAccess {
	if c.aws == nil {
		return &awsAccess{region: c.AWS.Region}
	}
	return c.aws
}

// ErrorCode tells what may pass from a refusal.
func (e *awsError) ErrorCode() string {
	if e.Retryable() {
		return "E607"
	}
	return "E608"
}

// load returns the settings of the environment, read once.
func (a *awsAccess) load(ctx context.Context) (aws.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded == nil {
		loaded, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return aws.Config{}, &awsError{"read the AWS settings", err}
		}
		if loaded.AppID == "" {
			loaded.AppID = "tributary"
		}
		a.loaded = &loaded
	}
	return a.loaded.Copy(), nil
}

// credentials returns who we are, fetched or from memory.
func (a *awsAccess) credentials(ctx context.Context) (aws.Credentials, error) {
	loaded, err := a.load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	found, err := loaded.Credentials.Retrieve(ctx)
	if err != nil {
		return found, &awsError{"find AWS credentials", err}
	}
	return found, nil
}

// regionOf is the region to ask in: the configured one, else the one that a name holds, else the
// environment's.
func (a *awsAccess) regionOf(named string, loaded aws.Config) (string, error) {
	for _, region := range []string{a.region, named, loaded.Region} {
		if region != "" {
			return region, nil
		}
	}
	return "", faultError{errors.New("no AWS region is known: set aws.region or AWS_REGION"), "E607"}
}

// arnRegion is the region in an ARN, empty when the text is none.
func arnRegion(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 5 && parts[0] == "arn" {
		return parts[3]
	}
	return ""
}

// rdsHost has an instance's, cluster's or proxy's region in it.
var rdsHost = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-\d+)\.rds\.amazonaws\.com(?:\.cn)?$`)

// rdsToken makes the password of an IAM user of RDS: it is good for 15 minutes, for this address and user,
// so one is made for each connect. The address must be RDS's own: a token for another name is refused.
func (a *awsAccess) rdsToken(ctx context.Context, address, user string) (token Secret, err error) {
	defer func() { a.count("rds_iam", err) }()
	loaded, err := a.load(ctx)
	if err != nil {
		return "", err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("make an IAM token: %w", err)
	}
	named := ""
	if found := rdsHost.FindStringSubmatch(host); found != nil {
		named = found[1]
	}
	region, err := a.regionOf(named, loaded)
	if err != nil {
		return "", fmt.Errorf("make an IAM token for %s: %w", address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	text, err := auth.BuildAuthToken(ctx, address, region, user, loaded.Credentials)
	if err != nil {
		return "", &awsError{"make an IAM token for " + user + " at " + address, err}
	}
	return Secret(text), nil
}

// mskLogin gives MSK's IAM login the credentials of the moment.
func (a *awsAccess) mskLogin(ctx context.Context) (msk.Auth, error) {
	found, err := a.credentials(ctx)
	a.count("msk_iam", err)
	return msk.Auth{
		AccessKey: found.AccessKeyID, SecretKey: found.SecretAccessKey, SessionToken: found.SessionToken,
		UserAgent: "tributary",
	}, err
}

// awsSources are the names that AWS's library gives to where credentials come from, in a person's words.
var awsSources = map[string]string{
	"EnvConfigCredentials":        "environment variables",
	"WebIdentityCredentials":      "web identity (IRSA)",
	"CredentialsEndpointProvider": "container endpoint (Pod Identity)",
	"EC2RoleProvider":             "the node's role",
}

// identity says who we are, and where the credentials come from.
func (a *awsAccess) identity(ctx context.Context) (arn, source string, err error) {
	found, err := a.credentials(ctx)
	if err != nil {
		return "", "", err
	}
	source = textOr(awsSources[found.Source], found.Source)
	loaded, err := a.load(ctx)
	if err != nil {
		return "", source, err
	}
	if loaded.Region, err = a.regionOf("", loaded); err != nil {
		return "", source, err
	}
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	caller, err := sts.NewFromConfig(loaded).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", source, &awsError{"ask AWS who we are", err}
	}
	return aws.ToString(caller.Arn), source, nil
}
