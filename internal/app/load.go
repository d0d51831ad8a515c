package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/kelseyhightower/envconfig"
)

// LoadConfig reads the settings from the environment. The error has one line for each mistake: the
// variable, what it holds, and what would do.
//
// Variables that cannot be read are unset for a moment: call it before the first goroutine.
func LoadConfig() (Config, error) {
	cfg, mistakes, err := LoadCheckedConfig()
	if err != nil {
		return Config{}, err
	}
	if len(mistakes) > 0 {
		return Config{}, errors.New(strings.Join(mistakes, "\n"))
	}
	return cfg, nil
}

// parseErrors are of variables whose text is not of the type of their field. Those fields hold their
// default.
type parseErrors []*envconfig.ParseError

// readEnvironment notes the variable that envconfig stops at, hides it, and reads on.
func readEnvironment(cfg *Config) (parseErrors, error) {
	var found parseErrors
	defer func() { found.restore() }()
	for {
		err := envconfig.Process("", cfg)
		parseErr, ok := errors.AsType[*envconfig.ParseError](err)
		if !ok {
			return found, err
		}
		if _, isSet := os.LookupEnv(parseErr.KeyName); !isSet {
			return nil, fmt.Errorf("read the defaults: %w", err)
		}
		found = append(found, parseErr)
		if err := os.Unsetenv(parseErr.KeyName); err != nil {
			return nil, fmt.Errorf("read the environment: %w", err)
		}
	}
}

// restore sets the variables again. They were set before, so it cannot fail.
func (p parseErrors) restore() {
	for _, e := range p {
		_ = os.Setenv(e.KeyName, e.Value)
	}
}

// describe says of each variable what would do: as the demand on it does, else by its type.
func (p parseErrors) describe(cfg Config) []string {
	wants := map[string]string{}
	for _, r := range cfg.NATS.Rules() {
		wants[r.Variable] = r.Want
	}
	for _, d := range cfg.demands() {
		wants[d.variable] = d.want
	}
	var mistakes []string
	for _, e := range p {
		want, ok := wants[e.KeyName]
		if !ok {
			want = wantOfType(e.TypeName)
		}
		mistakes = append(mistakes, mistake(e.KeyName, e.Value, want))
	}
	return mistakes
}

func wantOfType(name string) string {
	switch name {
	case "bool":
		return "true or false"
	case "time.Duration":
		return `a duration such as "30s" or "1h30m"`
	default:
		return "a number"
	}
}

// Setting is a variable of the environment that a worker reads.
type Setting struct {
	Name        string
	Default     string // empty where there is none
	Description string
}

// Settings returns all settings, in the order of Config.
func Settings() ([]Setting, error) {
	const line = "{{range .}}{{usage_key .}}\t{{usage_default .}}\t{{usage_description .}}\n{{end}}"
	var table bytes.Buffer
	if err := envconfig.Usagef("", &Config{}, &table, line); err != nil {
		return nil, fmt.Errorf("list settings: %w", err)
	}
	var settings []Setting
	for row := range strings.Lines(table.String()) {
		cells := strings.SplitN(strings.TrimSuffix(row, "\n"), "\t", 3)
		settings = append(settings, Setting{Name: cells[0], Default: cells[1], Description: cells[2]})
	}
	return settings, nil
}

// WriteHelp says what the worker is and prints its settings as a table.
func WriteHelp(w io.Writer) error {
	settings, err := Settings()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(table, "worker runs Anchor Browser web tasks from a NATS JetStream queue and publishes one event for each.\n"+
		"OTEL_EXPORTER_OTLP_ENDPOINT switches traces on; OpenTelemetry's other OTEL_* variables hold as well.\n"+
		"It takes no arguments; these variables of the environment set it up:\n\n"+
		"VARIABLE\tDEFAULT\tMEANING\n")
	for _, s := range settings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Default, s.Description)
	}
	if err := table.Flush(); err != nil { // tells of every write before it
		return fmt.Errorf("write help: %w", err)
	}
	return nil
}
