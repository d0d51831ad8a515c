// Package settings reads a program's settings from environment variables, and describes the mistakes that it finds in
// them: values of the wrong type, values that break a rule, and misspelled names.
//
// The settings are the fields of a struct with the tags of envconfig. A field's variable is its path in capitals:
// Poll.MaxInterval is POLL_MAX_INTERVAL. Functions that take such a struct panic if envconfig cannot read its tags or
// its defaults.
package settings

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// Load sets the fields of the struct that cfg points to. It returns a line for each variable whose value is not of the
// field's type; such a field gets its default.
//
// envconfig stops at the first of these variables, so Load unsets each one until it returns. Call it before the first
// goroutine that reads the environment.
func Load(cfg any) (mistakes Mistakes) {
	unset := map[string]string{}
	defer func() {
		for name, value := range unset {
			_ = os.Setenv(name, value) // it was set before, so it can be
		}
	}()
	for {
		err := envconfig.Process("", cfg)
		if err == nil {
			return mistakes
		}
		wrong, ok := errors.AsType[*envconfig.ParseError](err)
		if !ok {
			panic(err) // a tag is wrong
		}
		value, isSet := os.LookupEnv(wrong.KeyName)
		if !isSet || os.Unsetenv(wrong.KeyName) != nil {
			panic(err) // a default is wrong
		}
		unset[wrong.KeyName] = value
		mistakes.Require(wrong.KeyName, value, false, wantOfType(wrong.TypeName))
	}
}

// wantOfType describes the values that a field of a type can have, so that it completes the sentence "NAME
// must be". Every type but those listed counts as a number.
func wantOfType(name string) string {
	switch name {
	case "bool":
		return "true or false"
	case "time.Duration":
		return `a duration such as "30s" or "1h30m"`
	case "int":
		return "a whole number"
	default:
		return "a number"
	}
}

// Setting is a variable that Load reads, as a help text shows it.
type Setting struct {
	Name string

	// Default is empty if there is none: a variable that is not set then leaves the zero value.
	Default     string
	Description string
}

// List returns all settings of a struct like the one that cfg points to, in the order of its fields. It
// reads no variable: only the tags count.
func List(cfg any) []Setting {
	const row = "{{range .}}{{usage_key .}}\t{{usage_default .}}\t{{usage_description .}}\n{{end}}"
	var table bytes.Buffer
	if err := envconfig.Usagef("", cfg, &table, row); err != nil {
		panic(err)
	}
	var list []Setting
	for line := range strings.Lines(table.String()) {
		cells := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		list = append(list, Setting{Name: cells[0], Default: cells[1], Description: cells[2]})
	}
	return list
}
