package app

import (
	"errors"
	"os"
	"strings"
)

// LoadToolConfig reads the settings as LoadConfig does and asks only for what a client of the worker
// needs: where NATS is, how to log in, and the names of streams and buckets. A variable that only a
// worker needs may be absent, wrong or unreadable.
func LoadToolConfig() (Config, error) {
	var cfg Config
	if _, err := readEnvironment(&cfg); err != nil { // what a client needs is text, and can be read
		return Config{}, err
	}
	if mistakes := append(cfg.NATS.Validate(), unmet(cfg.nameDemands())...); len(mistakes) > 0 {
		return Config{}, errors.New(strings.Join(mistakes, "\n"))
	}
	return cfg, nil
}

// LoadCheckedConfig reads the settings as LoadConfig does, and returns them with a line for each mistake: what is
// wrong with one setting says nothing about what the others lead to. A variable that cannot be read has its default.
func LoadCheckedConfig() (Config, []string, error) {
	var cfg Config
	unreadable, err := readEnvironment(&cfg)
	if err != nil {
		return Config{}, nil, err
	}
	if cfg.Worker.Name == "" {
		cfg.Worker.Name, _ = os.Hostname() // Validate tells of a host without a name
	}
	return cfg, append(unreadable.describe(cfg), cfg.Validate()...), nil
}
