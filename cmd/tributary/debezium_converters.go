package main

import (
	"errors"
	"fmt"
	"strings"
)

// converterRules are the settings of Connect's converters; each exists for the key and for the value.
var converterRules = bothSides([]rule{
	{name: "", verdict: mapped, apply: (*connector).converter},
	{name: ".schemas.enable", verdict: mapped, apply: (*connector).schemasEnable},
	{
		name: ".schema.registry.url", verdict: mapped, apply: (*connector).registryURL,
		text: "is schema_registry.url",
	},
	{
		name: ".apicurio.registry.url", verdict: mapped, apply: (*connector).apicurioURL,
		text: "is schema_registry.url",
	},
	{
		name: ".basic.auth.credentials.source", verdict: refused, fine: []string{"USER_INFO", "URL"},
		text: "give schema_registry.user and schema_registry.password_from",
	},
	{
		name: ".basic.auth.user.info", verdict: mapped, apply: (*connector).registryUser,
		text: "is schema_registry.user and password_from; the JSON has it in clear",
	},
	{
		name: ".schema.registry.basic.auth.user.info", verdict: mapped, apply: (*connector).registryUser,
		text: "is schema_registry.user and password_from; the JSON has it in clear",
	},
	{name: ".ignore.default.for.nullables", verdict: mapped, key: "format.ignore_default_for_nullables"},
	{
		name: ".replace.null.with.default", verdict: mapped, key: "format.ignore_default_for_nullables",
		convert: negated,
	},
	{
		name: ".auto.register.schemas", verdict: refused, fine: []string{"true"},
		text: "schemas are registered, or found when they are there",
	},
	{
		name: ".apicurio.registry.auto-register", verdict: refused, fine: []string{"true"},
		text: "schemas are registered, or found when they are there",
	},
	{
		name: ".apicurio.registry.find-latest", verdict: refused, fine: []string{"false", "true"},
		text: leaveDefault,
	},
	{
		name: ".apicurio.registry.as-confluent", verdict: refused, fine: []string{"true"},
		text: "records begin as Confluent's do: zero and four bytes of schema id",
	},
	{
		name: ".apicurio.registry.headers.enabled", verdict: refused, fine: []string{"false"},
		text: "the schema id stands before the record, not in a header",
	},
	{
		name: ".apicurio.registry.*", verdict: ignored,
		text: "Apicurio's own converter; its ids must be content ids of four bytes, as its Confluent API has them",
	},
	{
		name: ".apicurio.use-id", verdict: refused, fine: []string{"contentId"},
		text: "ids are the content ids that the Confluent API gives",
	},
	{
		name: ".use.latest.version", verdict: refused, fine: []string{"false"},
		text: "each record is written with the schema of its own shape",
	},
	{
		name: ".normalize.schemas", verdict: refused, fine: []string{"false"},
		text: "the schema's text is registered as Debezium's is",
	},
	{name: ".latest.compatibility.strict", verdict: ignored, text: "concerns use.latest.version"},
	{
		name: ".connect.meta.data", verdict: refused, fine: []string{"true"},
		text: "the connect.* properties are always in the schema",
	},
	{name: ".enhanced.avro.schema.support", verdict: refused, fine: []string{"false"}, text: leaveDefault +
		": enums stay text"},
	{
		name: ".scrub.invalid.names", verdict: refused, fine: []string{"false"},
		text: "use schema.name.adjustment.mode and field.name.adjustment.mode",
	},
	{name: ".allow.optional.map.keys", verdict: refused, fine: []string{"false"}, text: leaveDefault},
	{name: ".flatten.unions", verdict: refused, fine: []string{"false"}, text: leaveDefault},
	{name: ".generalized.sum.type.support", verdict: refused, fine: []string{"false"}, text: leaveDefault},
	{name: ".discard.type.doc.default", verdict: refused, fine: []string{"false"}, text: leaveDefault},
	{
		name: ".decimal.format", verdict: refused, fine: []string{"BASE64"},
		text: "use decimal.handling.mode string or double",
	},
	{name: ".schemas.cache.size", verdict: ignored, text: "every schema in use is kept"},
	{name: ".schemas.cache.config", verdict: ignored, text: "every schema in use is kept"},
	{name: ".max.schemas.per.subject", verdict: ignored, text: "every schema in use is kept"},
	{
		name: ".key.subject.name.strategy", verdict: refused, fine: []string{topicNameStrategy},
		text: "subjects are TOPIC-key and TOPIC-value",
	},
	{
		name: ".value.subject.name.strategy", verdict: refused, fine: []string{topicNameStrategy},
		text: "subjects are TOPIC-key and TOPIC-value",
	},
	{name: ".plugin.version", verdict: ignored, text: "Connect's own"},
	{name: ".*", verdict: refused, text: "a setting of the converter that is not known here"},
})

const topicNameStrategy = "io.confluent.kafka.serializers.subject.TopicNameStrategy"

// bothSides gives each rule to key.converter and value.converter.
func bothSides(rules []rule) []rule {
	var both []rule
	for _, side := range []string{"key.converter", "value.converter"} {
		for _, r := range rules {
			r.name = side + r.name
			both = append(both, r)
		}
	}
	return both
}

// side returns the format key of the converter whose property is being applied.
func (d *connector) side() string {
	before, _, _ := strings.Cut(d.current, ".converter")
	return "format." + before
}

func (d *connector) converter(value string) error {
	switch value {
	case "io.confluent.connect.avro.AvroConverter", "io.apicurio.registry.utils.converter.AvroConverter":
		return d.set(d.current, d.side(), "avro", nil)
	case "org.apache.kafka.connect.json.JsonConverter":
		if strings.EqualFold(d.properties[d.current+".schemas.enable"], "false") {
			return d.set(d.current, d.side(), "json", nil)
		}
		return d.set(d.current, d.side(), "json_schema", nil)
	}
	return fmt.Errorf("%s is not among the converters that tributary imitates: Confluent's and Apicurio's "+
		"AvroConverter, "+
		"and Kafka's JsonConverter", value)
}

func (d *connector) schemasEnable(value string) error {
	if _, err := parseBool(value); err != nil {
		return err
	}
	d.wrote = d.side() // converter has read it
	return nil
}

// registryURL takes the first address of a list: the client asks one.
func (d *connector) registryURL(value string) error {
	urls := splitList(value, true)
	if len(urls) == 0 {
		return errors.New("no address")
	}
	if len(urls) > 1 {
		d.l.config.notes = append(d.l.config.notes, "the first of several schema registry addresses is used")
	}
	return d.set(d.current, "schema_registry.url", urls[0], nil)
}

// apicurioURL turns the address of Apicurio's own API into that of its Confluent API.
func (d *connector) apicurioURL(value string) error {
	base, _, found := strings.Cut(value, "/apis/")
	if !found {
		return errors.New("want an address with /apis/registry/ in it, or --registry")
	}
	return d.set(d.current, "schema_registry.url", base+"/apis/ccompat/v7", nil)
}

func (d *connector) registryUser(value string) error {
	user, password, found := strings.Cut(value, ":")
	if !found {
		return errors.New("want user:password")
	}
	d.l.config.SchemaRegistry.inline = Secret(password)
	return d.set(d.current, "schema_registry.user", user, nil)
}
