package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// checkSecret says how old the password is that the next connection uses: where it was changed at the server,
// and not here, the age tells. A secret that cannot be read is told by the connection.
func checkSecret(ctx context.Context, c Config, f *findings) {
	from := c.Source.PasswordFrom
	if c.Source.Auth == "rds_iam" {
		f.ok("secret", "an IAM token, made anew for each connection")
		return
	}
	changed, err := from.Changed(ctx, c.access())
	if from == "" || err != nil {
		return
	}
	text := string(from) + ", read at each connection"
	if kind, _, _ := strings.Cut(string(from), ":"); kind == "env" {
		text = string(from) + ": a variable changes with a restart only"
	}
	if !changed.IsZero() {
		text += fmt.Sprintf("; last changed %s ago", span(f.now().Sub(changed)))
	}
	f.ok("secret", text)
}

// span is a length of time in its largest unit, for people.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return fmt.Sprintf("%d seconds", max(0, int(d.Seconds())))
}

// Changed says when the secret was last changed, the zero time where its source does not tell.
func (s SecretSource) Changed(ctx context.Context, a *awsAccess) (time.Time, error) {
	kind, name, _ := strings.Cut(string(s), ":")
	switch kind {
	case "file":
		info, err := os.Stat(name)
		if err != nil {
			return time.Time{}, fmt.Errorf("ask for the age of a secret: %w", err)
		}
		return info.ModTime(), nil
	case "secretsmanager", "ssm":
		name, _, _ = strings.Cut(name, "#")
		if kind == "ssm" {
			parameter, err := a.readParameter(ctx, name)
			return awsTime(parameter.LastModifiedDate), err
		}
		secret, err := a.readSecret(ctx, name)
		return awsTime(secret.CreatedDate), err
	}
	return time.Time{}, nil
}

// awsTime is a time as AWS's JSON has it: seconds since 1970, 0 where it is not told.
func awsTime(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000))
}
