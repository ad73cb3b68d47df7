package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/tributary-cdc/tributary/schema"
)

// checkRegistry asks the schema registry, and whether it would take the schemas that run would register.
func checkRegistry(ctx context.Context, c Config, tables []capture, f *findings) {
	if !c.NeedsRegistry() {
		f.skip("registry", "keys and values are JSON")
		return
	}
	u, err := url.Parse(string(c.SchemaRegistry.URL))
	if err != nil {
		f.add("E601", "address", "schema_registry.url cannot be read", "")
		return
	}
	port := textOr(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	if !checkReach(ctx, f, net.JoinHostPort(u.Hostname(), port), "schema_registry.url", "E307", "E301") {
		return
	}
	o, err := registryOptions(c)
	if err != nil {
		f.fault("settings", err, "")
		return
	}
	registry, err := schema.NewRegistry(o)
	if err == nil {
		err = registry.Ping(ctx)
	}
	if err != nil {
		fix := "curl -i " + strings.TrimSuffix(c.SchemaRegistry.URL.String(), "/") + "/subjects"
		if code := codeOf(err); code == "E302" || code == "E303" {
			fix += " -u " + textOr(c.SchemaRegistry.User, "USER")
		}
		if found := registryPath(ctx, o, err); found != "" {
			fix = fmt.Sprintf("schema_registry: {url: %q}   # answers as a registry does", found)
		}
		if _, advice := certificateProblem(err, "schema_registry.tls.ca_file",
			"openssl s_client -connect "+net.JoinHostPort(u.Hostname(), port)); advice != "" {
			fix = advice
		}
		f.fault("registry", err, fix)
		return
	}
	f.ok("registry", "answers, "+flavour(u))
	level := checkRegistrySettings(ctx, c, registry, f)
	switch {
	case c.Compatibility == "debezium":
		f.skip("schemas", "see the part debezium")
	case tables == nil:
		f.skip("schemas", "the source's part names the tables")
	default:
		checkRegistrations(ctx, c, registry, tables, f)
		checkRules(ctx, c, registry, tables, level, f)
	}
}

// flavour guesses by the address which registry it is: the API is the same.
func flavour(u *url.URL) string {
	if strings.Contains(u.Path, "/apis/ccompat/") {
		return "Apicurio's form of Confluent's API"
	}
	return "Confluent's API"
}

// putSetting is the line that changes a setting of the registry.
func putSetting(c Config, path, name, value string) string {
	base := strings.TrimSuffix(c.SchemaRegistry.URL.String(), "/")
	return fmt.Sprintf("curl -X PUT %s/%s -H 'Content-Type: application/json' -d '{\"%s\":\"%s\"}'", base, path,
		name, value)
}

// checkRegistrySettings asks for the registry's mode and rule, and returns the rule. A registry that has no
// such question answers 404, which says nothing.
func checkRegistrySettings(ctx context.Context, c Config, registry *schema.Registry, f *findings) string {
	mode, err := registry.Mode(ctx)
	if err == nil && mode != "READWRITE" && mode != "" {
		f.add("E306", "mode", "is "+mode, putSetting(c, "mode", "mode", "READWRITE"))
	}
	level, err := registry.Compatibility(ctx)
	switch {
	case err != nil:
	case level == "NONE":
		f.add("W308", "rule", "compatibility is NONE", putSetting(c, "config", "compatibility", "BACKWARD"))
	default:
		f.ok("rule", "compatibility "+level)
	}
	return level
}

// checkRules asks for the subjects that have another rule than the registry. One that does not exist yet has
// none; a registry that has no such question says nothing.
func checkRules(ctx context.Context, c Config, registry *schema.Registry, tables []capture, level string,
	f *findings,
) {
	for _, t := range tables {
		for _, subject := range []string{t.topic + "-key", t.topic + "-value"} {
			own, err := registry.CompatibilityOf(ctx, subject)
			switch {
			case err != nil, own == level:
			case own == "NONE":
				f.add("W308", subject, "its own compatibility is NONE", putSetting(c, "config/"+url.PathEscape(subject),
					"compatibility", textOr(level, "BACKWARD")))
			default:
				f.ok("rule", "compatibility "+own+" of subject "+subject)
			}
		}
	}
}

// checkRegistrations asks of each schema that run would register what would become of it.
func checkRegistrations(ctx context.Context, c Config, registry *schema.Registry, tables []capture,
	f *findings,
) {
	known, fresh := 0, 0
	for _, t := range tables {
		for _, half := range [][2]string{{t.topic + "-key", t.key}, {t.topic + "-value", t.value}} {
			subject, text := half[0], half[1]
			if text == "" {
				continue
			}
			exists, same, err := registry.Known(ctx, subject, text)
			switch {
			case err != nil:
				f.fault(subject, err, "")
			case same:
				known++
			case !exists:
				fresh++
			default:
				checkVersion(ctx, c, registry, t, subject, text, f)
			}
		}
	}
	f.ok("schemas", fmt.Sprintf("%d registered, %d new subjects", known, fresh))
}

// incompatibleFix lets a subject take the schema that it refuses, once.
func incompatibleFix(c Config, subject string) string {
	return putSetting(c, "config/"+url.PathEscape(subject), "compatibility", "NONE") +
		"   # for one registration; or make the new column nullable or give it a default"
}

// checkVersion asks whether a schema would be taken as a subject's next version.
func checkVersion(ctx context.Context, c Config, registry *schema.Registry, t capture, subject, text string,
	f *findings,
) {
	var incompatible *schema.IncompatibleError
	err := registry.Check(ctx, subject, text)
	switch {
	case errors.As(err, &incompatible):
		f.add("E304", subject, "the schema of "+t.table.String()+" is refused: "+
			textOr(incompatible.Finding, incompatible.Detail), incompatibleFix(c, subject))
	case err != nil:
		f.fault(subject, err, "")
	default:
		f.add("I307", subject, "the schema of "+t.table.String()+" would be a new version",
			"tributary schema diff "+t.table.String())
	}
}
