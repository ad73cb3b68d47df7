package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The three questions below are asked by hand, signed by AWS's own library: its clients for these services
// have hundreds of calls each, 2 MB of program and 17 s of compiling for three of them.

// awsService is a service that is asked.
type awsService struct {
	name     string // in host names and signatures
	variable string // AWS's own one for another endpoint
}

var (
	secretsManager = awsService{"secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"}
	systemsManager = awsService{"ssm", "AWS_ENDPOINT_URL_SSM"}
	managedKafka   = awsService{"kafka", "AWS_ENDPOINT_URL_KAFKA"}
)

// endpoint is where a service answers in a region.
func (s awsService) endpoint(region string) string {
	for _, variable := range []string{s.variable, "AWS_ENDPOINT_URL"} {
		if address := os.Getenv(variable); address != "" {
			return strings.TrimSuffix(address, "/")
		}
	}
	suffix := ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix += ".cn"
	}
	return "https://" + s.name + "." + region + suffix
}

// awsRefusal is AWS's answer of no.
type awsRefusal struct {
	status        int
	code, message string
}

func (e *awsRefusal) Error() string        { return fmt.Sprintf("%s: %s", e.code, e.message) }
func (e *awsRefusal) ErrorCode() string    { return e.code }
func (e *awsRefusal) ErrorMessage() string { return e.message }
func (e *awsRefusal) HTTPStatusCode() int  { return e.status }

// maxAWSAnswer bounds an answer: a secret has at most 64 KiB.
const maxAWSAnswer = 1 << 20

// ask sends one signed request in a region and reads the answer's JSON. target names the call of a service
// that has one address for all, path that of another.
func (a *awsAccess) ask(ctx context.Context, s awsService, named, target, path string, body, answer any,
) error {
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	loaded, err := a.load(ctx)
	if err != nil {
		return err
	}
	region, err := a.regionOf(named, loaded)
	if err != nil {
		return err
	}
	method, payload := http.MethodGet, []byte(nil)
	if target != "" {
		method = http.MethodPost
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, s.endpoint(region)+path, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("%s names no address", s.variable)
	}
	if target != "" {
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
		request.Header.Set("X-Amz-Target", target)
	}
	who, err := a.credentials(ctx)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(payload)
	err = v4.NewSigner().SignHTTP(ctx, who, request, hex.EncodeToString(hash[:]), s.name, region, time.Now())
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	client := loaded.HTTPClient // set where AWS_CA_BUNDLE is
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAWSAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return refusalOf(response, text)
	}
	if json.Unmarshal(text, answer) != nil {
		return fmt.Errorf("%s answered no JSON", s.name) // whose text may be the secret
	}
	return nil
}

// refusalOf reads AWS's two forms of refusal.
func refusalOf(response *http.Response, text []byte) error {
	var body struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	e := &awsRefusal{status: response.StatusCode, code: response.Status}
	if json.Unmarshal(text, &body) == nil {
		e.message = textOr(body.Message, body.Upper)
	}
	code := textOr(response.Header.Get("X-Amzn-Errortype"), body.Type)
	code, _, _ = strings.Cut(code[strings.LastIndexByte(code, '#')+1:], ":")
	e.code = textOr(code, e.code)
	e.message = textOr(e.message, "no more was said")
	return e
}

// awsSecret is a version of a secret of Secrets Manager; CreatedDate is when it was made.
type awsSecret struct {
	SecretString *string
	CreatedDate  float64
}

// awsParameter is a parameter of Systems Manager.
type awsParameter struct {
	Value            Secret
	LastModifiedDate float64
}

// secret reads a secret of Secrets Manager by name or ARN.
func (a *awsAccess) secret(ctx context.Context, id string) (Secret, error) {
	answer, err := a.readSecret(ctx, id)
	switch {
	case err != nil:
		return "", err
	case answer.SecretString == nil:
		return "", faultError{fmt.Errorf("read secret %s: it is binary, want text", id), "E604"}
	}
	return Secret(*answer.SecretString), nil
}

func (a *awsAccess) readSecret(ctx context.Context, id string) (answer awsSecret, err error) {
	err = a.ask(ctx, secretsManager, arnRegion(id), "secretsmanager.GetSecretValue", "/",
		struct {
			ID string `json:"SecretId"`
		}{id}, &answer)
	if err != nil {
		err = &awsError{"read secret " + id, err}
	}
	return answer, err
}

// parameter reads a parameter of Systems Manager by name or ARN, decrypted.
func (a *awsAccess) parameter(ctx context.Context, name string) (Secret, error) {
	answer, err := a.readParameter(ctx, name)
	return answer.Value, err
}

func (a *awsAccess) readParameter(ctx context.Context, name string) (awsParameter, error) {
	var answer struct{ Parameter awsParameter }
	err := a.ask(ctx, systemsManager, arnRegion(name), "AmazonSSM.GetParameter", "/", struct {
		Name           string
		WithDecryption bool
	}{name, true}, &answer)
	if err != nil {
		err = &awsError{"read parameter " + name, err}
	}
	return answer.Parameter, err
}

// brokers asks MSK for a cluster's bootstrap brokers of a login. A cluster may have several kinds of address:
// those inside of its network come first, then those of multi-VPC connectivity, then public ones.
func (a *awsAccess) brokers(ctx context.Context, arn, login string) ([]string, error) {
	answer := map[string]string{}
	path := "/v1/clusters/" + strings.ReplaceAll(url.PathEscape(arn), ":", "%3A") + "/bootstrap-brokers"
	if err := a.ask(ctx, managedKafka, arnRegion(arn), "", path, nil, &answer); err != nil {
		return nil, &awsError{"look up the brokers of " + arn, err}
	}
	const field = "bootstrapBrokerString"
	for _, network := range []string{"", "VpcConnectivity", "Public"} {
		if list := answer[field+network+login]; list != "" {
			return strings.Split(list, ","), nil
		}
	}
	var offered []string
	for name, list := range answer {
		if list != "" {
			offered = append(offered, strings.TrimPrefix(name, field))
		}
	}
	return nil, faultError{fmt.Errorf("look up the brokers of %s: it has no listener for %s: it offers %s", arn,
		textOr(login, "clients without TLS"), textOr(sortedList(offered), "nothing yet")), "E609"}
}

// sortedList joins words in their order, nothing for none.
func sortedList(words []string) string {
	sort.Strings(words)
	return strings.Join(words, ", ")
}
