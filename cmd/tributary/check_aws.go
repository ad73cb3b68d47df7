package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
)

// usesAWS says whether the configuration has AWS asked for anything.
func usesAWS(c Config) bool {
	for _, s := range []SecretSource{
		c.Source.PasswordFrom, c.Kafka.PasswordFrom, c.SchemaRegistry.PasswordFrom, c.SchemaRegistry.BearerFrom,
	} {
		if kind, _, _ := strings.Cut(string(s), ":"); kind == "secretsmanager" || kind == "ssm" {
			return true
		}
	}
	return c.Source.Auth == "rds_iam" || c.Kafka.Auth == "msk_iam" || c.Kafka.MSKClusterARN != ""
}

// checkAWS says who AWS takes us for.
func checkAWS(ctx context.Context, c Config, f *findings) {
	arn, source, err := c.access().identity(ctx)
	switch {
	case source == "" && err != nil:
		f.fault("identity", err, "aws sts get-caller-identity   # in the pod's place: is its service "+
			"account "+
			"associated with a role (Pod Identity), or annotated with one (IRSA)?")
	case err != nil:
		// It needs no permission, but a way to STS, which a private network may not have.
		f.add("W604", "identity", "credentials from "+source+", but AWS does not say whose: "+err.Error(),
			"aws ec2 describe-vpc-endpoints   # is there one for sts?")
	case source == awsSources["EC2RoleProvider"]:
		f.add("W604", "identity", arn+" by "+source+", which every pod of the node has",
			"aws eks create-pod-identity-association --cluster-name NAME --namespace NAMESPACE "+
				"--service-account tributary --role-arn ARN")
	default:
		f.ok("identity", arn+" by "+source)
	}
}

// certificateProblem says what is wrong with a server's certificate in a person's words, and what to type;
// setting names the key that holds authorities, probe is openssl's command that connects. Both results are
// empty when the error is about something else.
func certificateProblem(err error, setting, probe string) (text, advice string) {
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) {
		return "", ""
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	reason := refused.Err.Error()
	shown := probe + " </dev/null | openssl x509 -noout "
	switch {
	case errors.As(err, &name):
		return "the server's certificate is for another name: " + reason,
			shown + "-subject -ext subjectAltName   # the names that it has: connect by one of them"
	case errors.As(err, &unknown):
		return "the server's certificate is signed by an authority that is not known here: " + reason,
			shown + "-issuer   # whose PEM file goes into " + setting + " (on RDS the bundle global-bundle.pem)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is out of its time: " + reason,
			"date -u; " + shown + "-dates   # if the clock is right, have the certificate renewed"
	}
	return "the server's certificate is refused: " + reason, shown + "-text"
}
