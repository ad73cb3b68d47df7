package main

import (
	"net/url"
	"os"
	"strings"
)

// clearModes are the sslmodes that may send what they send in clear.
var clearModes = []string{"disable", "allow", "prefer"}

// validateLogin checks how to log in to the source, as far as that needs nobody's answer.
func (l *loader) validateLogin() {
	s := l.config.Source
	u, err := url.Parse(string(s.URL))
	if s.Auth != "rds_iam" || err != nil || s.URL == "" {
		return
	}
	_, inClear := u.User.Password()
	mode := textOr(u.Query().Get("sslmode"), os.Getenv("PGSSLMODE"))
	switch {
	case s.PasswordFrom != "" || inClear || u.Query().Has("password"):
		l.at("source.auth", "rds_iam makes its own password: leave out source.password_from and the URL's")
	case sourceUser(s.URL) == "":
		l.at("source.url", "rds_iam needs the role's name: postgres://ROLE@host:5432/database")
	case strings.Contains(u.Host, ",") || strings.HasPrefix(u.Query().Get("host"), "/"):
		l.at("source.url", "rds_iam needs one host by RDS's own name: a token is made for one address")
	case isOneOf(mode, clearModes):
		l.at("source.auth", "rds_iam over sslmode="+mode+" would send the token in clear: want verify-full")
	}
}

// validateKafkaLogin checks that each way to log in has what it needs, and nothing that it ignores.
func (l *loader) validateKafkaLogin() {
	k := l.config.Kafka
	password := k.Auth == "plain" || strings.HasPrefix(k.Auth, "scram")
	switch {
	case password && (k.User == "" || k.PasswordFrom == ""):
		l.at("kafka.auth", k.Auth+" needs kafka.user and kafka.password_from")
	case !password && (k.User != "" || k.PasswordFrom != ""):
		l.at("kafka.auth", "kafka.user and kafka.password_from do nothing with "+k.Auth+
			": want plain, scram_sha_256 or scram_sha_512")
	case k.Auth == "mtls" && k.TLS.CertFile == "":
		l.at("kafka.auth", "mtls needs kafka.tls.cert_file and kafka.tls.key_file")
	case (k.Auth == "mtls" || k.Auth == "msk_iam") && k.TLS.Enabled == "false":
		l.at("kafka.tls.enabled", "false, but "+k.Auth+" is over TLS only")
	}
	switch {
	case k.MSKClusterARN == "":
	case len(k.Brokers) > 0:
		l.at("kafka.msk_cluster_arn", "kafka.brokers is given as well: set one of them")
	case arnRegion(k.MSKClusterARN) == "":
		l.at("kafka.msk_cluster_arn", "want arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/ID")
	case k.Auth == "plain" || k.Auth == "scram_sha_256":
		l.at("kafka.auth", "MSK has no listener for "+k.Auth+": want msk_iam, scram_sha_512, mtls or none")
	}
}
