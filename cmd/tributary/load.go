package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	yamlast "github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// loadOptions is where a configuration comes from; what comes later wins: defaults, File or Debezium,
// Environ, Flags.
type loadOptions struct {
	File     string            // YAML; empty for none
	Debezium string            // a Debezium connector's JSON; empty for none
	Flags    map[string]string // key path to text
	Environ  []string          // as os.Environ gives it
}

// origin says where a value came from.
type origin struct {
	kind   string // default, file, env, flag, debezium
	detail string // file:line, the variable's, flag's or property's name
}

// String returns the origin as `config print` shows it.
func (o origin) String() string {
	if o.detail == "" {
		return o.kind
	}
	return o.kind + " " + o.detail
}

// problem is one thing wrong with a configuration.
type problem struct {
	where   string // file:line:column, or the variable's or flag's name
	line    int    // in the file, 0 when the problem is in no file
	path    string // the key
	text    string
	excerpt string // the line with a caret under it; empty when the problem is in no file
}

// configError is everything wrong with a configuration, in the order of the file. It exits 2.
type configError struct{ problems []problem }

// Error lists every problem.
func (e *configError) Error() string {
	var b strings.Builder
	if n := len(e.problems); n > 1 {
		fmt.Fprintf(&b, "%d problems in the configuration:\n", n)
	}
	for i, p := range e.problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, part := range []string{p.where, p.path} {
			if part != "" {
				b.WriteString(part + ": ")
			}
		}
		b.WriteString(p.text)
		if p.excerpt != "" {
			b.WriteString("\n" + p.excerpt)
		}
	}
	return b.String()
}

// ErrorCode is that of a wrong configuration.
func (e *configError) ErrorCode() string { return "E601" }

// ExitCode is that of a wrong configuration.
func (e *configError) ExitCode() int { return exitUsage }

// unknownVariable begins the note on a variable that sets nothing.
const unknownVariable = "environment variable "

// loader gathers a Config and what is wrong with it.
type loader struct {
	config   Config
	keys     []key
	environ  map[string]string
	flags    map[string]string
	file     string
	lines    []string // of the file, for excerpts
	problems []problem
	unread   bool                    // the file is no YAML: nothing is known of its keys
	tokens   map[string]*token.Token // of each key that the file sets
}

// load reads, overlays and checks a configuration. An error of the configuration itself is a *configError
// that
// names every problem at once. No error repeats a secret.
func load(o loadOptions) (Config, error) {
	l := newLoader(o)
	if o.File != "" && o.Debezium != "" {
		return Config{}, usageError{errors.New("--config and --from-debezium exclude each other: " +
			"tributary config convert turns the second into the first")}
	}
	if o.File != "" {
		if err := l.loadFile(o.File); err != nil {
			return Config{}, err
		}
	}
	if o.Debezium != "" {
		if err := l.loadDebezium(o.Debezium); err != nil {
			return Config{}, err
		}
	}
	l.overlay(o.Flags)
	if !l.unread {
		l.config.derive()
		l.validate()
		l.config.aws = &awsAccess{region: l.config.AWS.Region}
	}
	if len(l.problems) > 0 {
		sort.SliceStable(l.problems, func(i, j int) bool { return before(l.problems[i].line, l.problems[j].line) })
		return Config{}, &configError{l.problems}
	}
	return l.config, nil
}

// before puts lines in their order, and what is in no file behind them.
func before(a, b int) bool { return a != 0 && (b == 0 || a < b) }

func newLoader(o loadOptions) *loader {
	l := &loader{
		config: defaultConfig(), keys: configKeys(), flags: o.Flags,
		environ: map[string]string{}, tokens: map[string]*token.Token{},
	}
	l.config.origins = map[string]origin{}
	for _, variable := range o.Environ {
		name, value, _ := strings.Cut(variable, "=")
		l.environ[name] = value
	}
	return l
}

func (l *loader) loadFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return usageError{fmt.Errorf("read configuration: %w", err)}
	}
	l.file, l.lines = path, strings.Split(string(text), "\n")
	l.parse(text)
	return nil
}

// parse decodes YAML into the configuration.
func (l *loader) parse(text []byte) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		l.syntax(err)
		return
	}
	for i, document := range file.Docs {
		switch {
		case i > 0 && document.Body != nil:
			l.problemAt(document.Body.GetToken(), "", "a second document: one file holds one configuration")
		case document.Body != nil:
			l.decode(document.Body, reflect.ValueOf(&l.config).Elem(), "", nil)
		}
	}
}

// syntax reports what the YAML parser found, without the lines around it that its own text would show.
func (l *loader) syntax(err error) {
	l.unread = true
	var positioned interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &positioned) || positioned.GetToken() == nil {
		l.problems = append(l.problems, problem{where: l.file, text: "not YAML"})
		return
	}
	l.problemAt(positioned.GetToken(), "", "not YAML: "+positioned.GetMessage())
}

// decode puts a node into a field and notes what does not fit.
func (l *loader) decode(node yamlast.Node, v reflect.Value, path string, enum []string) {
	switch node.(type) {
	case *yamlast.AnchorNode, *yamlast.AliasNode, *yamlast.TagNode, *yamlast.MergeKeyNode:
		l.problemAt(node.GetToken(), path, "anchors, aliases and tags are not understood here")
		return
	case *yamlast.NullNode:
		if !section(v.Type()) {
			l.problemAt(node.GetToken(), path, "no value: give one or leave the key out")
		}
		return
	}
	switch {
	case section(v.Type()):
		l.decodeStruct(node, v, path)
	case v.Kind() == reflect.Slice:
		l.decodeList(node, v, path)
	case v.Kind() == reflect.Map:
		l.decodeMap(node, v, path)
	default:
		text, isScalar := l.scalar(node, path)
		if !isScalar {
			return
		}
		if err := setScalar(v, text, enum); err != nil {
			l.problemAt(node.GetToken(), path, hideSecret(v, err))
		}
	}
}

// decodeStruct matches a mapping's keys with a struct's fields.
func (l *loader) decodeStruct(node yamlast.Node, v reflect.Value, path string) {
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = i
			known = append(known, name)
		}
	}
	pairs, isMapping := mapping(node)
	if !isMapping {
		l.problemAt(node.GetToken(), path, "want a block of keys: "+strings.Join(known, ", "))
		return
	}
	for _, pair := range pairs {
		name := pair.Key.GetToken().Value
		full := strings.TrimPrefix(path+"."+name, ".")
		i, found := fields[name]
		if !found {
			l.problemAt(pair.Key.GetToken(), full, "unknown key"+l.suggest(name, full, known))
			continue
		}
		l.tokens[full] = pair.Value.GetToken()
		l.note(full, origin{"file", fmt.Sprintf("%s:%d", l.file, pair.Key.GetToken().Position.Line)})
		l.decode(pair.Value, v.Field(i), full, enumOf(v.Type().Field(i)))
	}
	for _, name := range known {
		// What is required of Config itself may come from elsewhere; a list's element has only the file.
		required := v.Type().Field(fields[name]).Tag.Get("required") != ""
		if strings.Contains(path, "[") && required && l.tokens[path+"."+name] == nil {
			l.problemAt(node.GetToken(), path, name+" is missing")
		}
	}
}

// suggest looks for the key meant: first among the neighbours, then everywhere by the last part of its path.
func (l *loader) suggest(name, full string, known []string) string {
	if s := didYouMean(name, known); s != "" {
		return s
	}
	for _, k := range l.keys {
		if k.path[strings.LastIndexByte(k.path, '.')+1:] == name {
			return fmt.Sprintf(": did you mean %s?", k.path)
		}
	}
	paths := make([]string, len(l.keys))
	for i, k := range l.keys {
		paths[i] = k.path
	}
	return didYouMean(full, paths)
}

func (l *loader) decodeList(node yamlast.Node, v reflect.Value, path string) {
	sequence, isSequence := node.(*yamlast.SequenceNode)
	if !isSequence {
		l.problemAt(node.GetToken(), path, "want a list, such as [first, second]")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values))
	for i, item := range sequence.Values {
		l.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i), nil)
	}
	v.Set(list)
}

func (l *loader) decodeMap(node yamlast.Node, v reflect.Value, path string) {
	pairs, isMapping := mapping(node)
	if !isMapping {
		l.problemAt(node.GetToken(), path, "want names with values, such as {name: value}")
		return
	}
	values := reflect.MakeMap(v.Type())
	for _, pair := range pairs {
		name := pair.Key.GetToken().Value
		if text, isScalar := l.scalar(pair.Value, path+"."+name); isScalar {
			values.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(text))
		}
	}
	v.Set(values)
}

// mapping returns a mapping's pairs; the parser has two kinds of node for it.
func mapping(node yamlast.Node) ([]*yamlast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *yamlast.MappingNode:
		return n.Values, true
	case *yamlast.MappingValueNode:
		return []*yamlast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalar returns a scalar's text with the environment filled in.
func (l *loader) scalar(node yamlast.Node, path string) (string, bool) {
	var text string
	switch n := node.(type) {
	case *yamlast.LiteralNode:
		text = n.Value.Value
	case *yamlast.StringNode:
		text = n.Value
	case *yamlast.BoolNode, *yamlast.IntegerNode, *yamlast.FloatNode, *yamlast.InfinityNode, *yamlast.NanNode:
		text = n.GetToken().Value
	default:
		l.problemAt(node.GetToken(), path, "want one value")
		return "", false
	}
	text, err := interpolate(text, l.environ)
	if err != nil {
		l.problemAt(node.GetToken(), path, err.Error())
		return "", false
	}
	return text, true
}

// note records an origin for a key and, when a whole list or block is set, for what is inside.
func (l *loader) note(path string, o origin) { l.config.origins[path] = o }

// overlay puts environment variables and then flags over what the file said.
func (l *loader) overlay(flags map[string]string) {
	known := map[string]bool{}
	for _, k := range l.keys {
		known[k.env()] = true
		if text, set := l.environ[k.env()]; set {
			l.set(k, text, origin{"env", k.env()})
		}
		if text, set := flags[k.path]; set {
			l.set(k, text, origin{"flag", "--" + k.flag()})
		}
	}
	l.config.notes = append(l.config.notes, unknownVariables(l.environ, known)...)
}

// set parses the text of a variable or flag into a key. Lists may be given with commas; whatever has
// structure
// is YAML.
func (l *loader) set(k key, text string, o origin) {
	v := reflect.ValueOf(&l.config).Elem().FieldByIndex(k.index)
	sub := &loader{keys: l.keys, environ: map[string]string{}, tokens: map[string]*token.Token{}, file: o.detail}
	sub.config.origins = map[string]origin{}
	elem := v.Type()
	if v.Kind() == reflect.Slice {
		elem = elem.Elem()
	}
	switch {
	case v.Kind() == reflect.Slice && !section(elem) && !strings.HasPrefix(text, "["):
		list := reflect.MakeSlice(v.Type(), 0, 4)
		for _, part := range splitList(text, true) {
			item := reflect.New(elem).Elem()
			if err := setScalar(item, part, nil); err != nil {
				sub.problems = append(sub.problems, problem{text: err.Error()})
			}
			list = reflect.Append(list, item)
		}
		v.Set(list)
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map:
		file, err := parser.ParseBytes([]byte(text), 0)
		if err != nil || len(file.Docs) != 1 || file.Docs[0].Body == nil {
			sub.problems = append(sub.problems, problem{text: "not YAML: a list of blocks is written as [{key: " +
				"value}]"})
			break
		}
		sub.decode(file.Docs[0].Body, v, k.path, k.enum)
	default:
		if err := setScalar(v, text, k.enum); err != nil {
			sub.problems = append(sub.problems, problem{text: hideSecret(v, err)})
		}
	}
	for _, p := range sub.problems {
		l.problems = append(l.problems, problem{where: o.detail, path: k.path, text: p.text})
	}
	l.note(k.path, o)
}

// hideSecret is the text of an error about a value, unless the value might be one to hide.
func hideSecret(v reflect.Value, err error) string {
	switch v.Interface().(type) {
	case URL, Secret, SecretSource:
		return "cannot be read"
	}
	return err.Error()
}

// problemAt notes a problem at a place in the file.
func (l *loader) problemAt(at *token.Token, path, text string) {
	p := problem{where: l.file, path: path, text: text}
	if at != nil && at.Position != nil {
		p.line = at.Position.Line
		p.where = fmt.Sprintf("%s:%d:%d", l.file, at.Position.Line, at.Position.Column)
		p.excerpt = l.excerpt(at)
	}
	l.problems = append(l.problems, p)
}

// excerpt shows the line of a token with a caret under it. A line that may hold a secret shows only its keys'
// part up to the token; of the rest nothing.
func (l *loader) excerpt(at *token.Token) string {
	row, column := at.Position.Line, at.Position.Column
	if row < 1 || row > len(l.lines) || column > 160 {
		return "" // a caret that far out points at nothing that a person sees
	}
	line := strings.TrimRight(strings.ReplaceAll(l.lines[row-1], "\t", " "), "\r ")
	if mayHoldSecret(line) {
		// What stands alone in the token may be shown when it is a key; anything else may be the secret.
		line = strings.Repeat(" ", max(column-1, 0)) + "..."
		if at.Next != nil && at.Next.Type == token.MappingValueType {
			line = strings.Repeat(" ", max(column-1, 0)) + at.Value + ": ..."
		}
	}
	margin := fmt.Sprintf("%6d | ", row)
	return margin + line + "\n" + strings.Repeat(" ", len(margin)+max(column-1, 0)) + "^"
}

// mayHoldSecret errs on the side of hiding.
func mayHoldSecret(line string) bool {
	lower := strings.ToLower(line)
	for _, word := range []string{
		"://", "pass", "secret", "salt", "token", "bearer", "pwd", "credential",
		"key:", "sasl",
	} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}

// unknownVariables names TRIBUTARY_ variables that set nothing: most are typing errors.
func unknownVariables(environ map[string]string, known map[string]bool) []string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	var notes []string
	for name := range environ {
		if strings.HasPrefix(name, "TRIBUTARY_") && !known[name] && !reservedVariable(name) {
			notes = append(notes, unknownVariable+name+" is not known"+didYouMean(name, names))
		}
	}
	sort.Strings(notes)
	return notes
}

// reservedVariable reports names that are ours but no configuration keys: those of the tests and of --config.
func reservedVariable(name string) bool {
	return strings.HasPrefix(name, "TRIBUTARY_TEST_") || name == "TRIBUTARY_CONFIG"
}
