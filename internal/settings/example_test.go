package settings_test

import (
	"fmt"
	"os"
	"time"

	"github.com/capstan-worker/capstan/internal/settings"
)

// config is the settings of a small program.
type config struct {
	Level string
	Poll  struct {
		Interval time.Duration `default:"2s" desc:"time between two polls"`
	}
}

// validate reports a wrong value with its rule.
func (c config) validate() []string {
	var mistakes settings.Mistakes
	mistakes.RequireOneOf("LEVEL", c.Level, "debug", "info", "warn")
	mistakes.Require("POLL_INTERVAL", c.Poll.Interval, c.Poll.Interval >= time.Second, `1s or more, such as "2s"`)
	return mistakes
}

func ExampleMistakes() {
	for _, line := range (config{Level: "loud"}).validate() {
		fmt.Println(line)
	}
	// Output:
	// LEVEL must be debug, info or warn (got "loud")
	// POLL_INTERVAL must be 1s or more, such as "2s" (got "0s")
}

func ExampleLoad() {
	_ = os.Setenv("POLL_INTERVAL", "soon")
	defer func() { _ = os.Unsetenv("POLL_INTERVAL") }()
	var cfg config
	fmt.Println(settings.Load(&cfg))
	fmt.Println(cfg.Poll.Interval, os.Getenv("POLL_INTERVAL"))
	// Output:
	// [POLL_INTERVAL must be a duration such as "30s" or "1h30m" (got "soon")]
	// 2s soon
}

func ExampleMisspelled() {
	fmt.Println(settings.Misspelled(settings.List(&config{}), []string{"HOME=/root", "POLL_INTERVALL=1s"}))
	// Output: [{POLL_INTERVALL POLL_INTERVAL}]
}
