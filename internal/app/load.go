package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/capstan-worker/capstan/internal/settings"
)

// LoadConfig reads the settings of a worker from the environment. The error has a line for each mistake.
//
// Like the other functions that load, it changes the environment until it returns (see [settings.Load]).
func LoadConfig() (Config, error) {
	cfg, mistakes := LoadCheckedConfig()
	return cfg, asError(mistakes)
}

// LoadCheckedConfig reads the settings as LoadConfig does and returns them with a line for each mistake, so that a
// check can go on with the others. A variable whose value is not of its type gets its default.
func LoadCheckedConfig() (cfg Config, mistakes []string) {
	mistakes = settings.Load(&cfg)
	if cfg.Worker.Name == "" {
		cfg.Worker.Name, _ = os.Hostname() // Validate reports a host without a name
	}
	return cfg, append(mistakes, cfg.Validate()...)
}

// LoadToolConfig reads the settings of a client: how to log in to NATS, and the names of streams and buckets. The error
// has a line for each mistake in these. It ignores mistakes in the settings that only a worker needs.
func LoadToolConfig() (Config, error) {
	var cfg Config
	_ = settings.Load(&cfg) // the settings of a client that are not text are NATS_PROVISION and NATS_REPLICAS, which it does not use
	return cfg, asError(cfg.Streams().Validate())
}

// asError joins the mistakes, a line for each, so that a user can correct all of them at once. It returns
// nil for no mistakes.
func asError(mistakes []string) error {
	if len(mistakes) == 0 {
		return nil
	}
	return errors.New(strings.Join(mistakes, "\n"))
}

// Settings returns all settings of a worker, in the order of Config. The OTEL_* variables are not among
// them: the packages of OpenTelemetry read those.
func Settings() []settings.Setting { return settings.List(&Config{}) }

// WriteHelp writes the help of the command worker: a table of its settings, with their defaults and
// meanings from the tags of Config. The error is that of w.
func WriteHelp(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(table, `worker runs AI browser tasks: it takes requests from a NATS JetStream queue, runs them on Anchor Browser, and
publishes one result event for each. To check that a worker can run with its settings: capstan check

The worker takes no arguments and is configured by the variables below. OTEL_EXPORTER_OTLP_ENDPOINT turns traces
on; the other OTEL_* variables of OpenTelemetry work too.

VARIABLE	DEFAULT	MEANING
`)
	for _, s := range Settings() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Default, s.Description)
	}
	if err := table.Flush(); err != nil { // also of the writes before
		return fmt.Errorf("write help: %w", err)
	}
	return nil
}
