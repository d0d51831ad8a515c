package app

import (
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// NewLogger returns a logger that writes lines of JSON or, with the format "console", lines for people,
// with colors if w is a terminal. An unknown or empty level means info. Each line has the time of this
// machine's clock, which may differ from that in events.
func NewLogger(w io.Writer, level, format string) zerolog.Logger {
	if format == "console" {
		file, isFile := w.(*os.File)
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isFile || !isatty.IsTerminal(file.Fd())}
	}
	parsed, err := zerolog.ParseLevel(level)
	if err != nil || parsed == zerolog.NoLevel {
		parsed = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(parsed).With().Timestamp().Logger()
}
