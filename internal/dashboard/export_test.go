package dashboard

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// Visible returns a text as pages show it.
func Visible(text string) string { return string(visible([]byte(text))) }

// LocalPath returns where a visitor is sent after the login.
func LocalPath(path string) string { return localPath(path) }

// WebLink returns the link of a record as the page of its task has it.
func WebLink(link string) string { return webLink(task.Secret(link)) }

// Duration returns a duration as pages show it.
func Duration(d time.Duration) string { return duration(d) }

// Grouped returns a number as pages show it.
func Grouped(n int) string { return grouped(n) }

// LimitText returns how many tasks the workers hold, and may hold.
func LimitText(l inspect.LimitUse) string { return limitText(inspect.Status{Limit: l}) }

// Pieces returns the pieces of a name between which a line may break.
func Pieces(name string) []string { return pieces(name) }

// ShellQuoted returns a word of a command.
func ShellQuoted(text string) string { return shellQuoted(text) }

// File returns a file that pages use.
func File(name string) string {
	assets, err := readAssets()
	if err != nil {
		return err.Error()
	}
	return string(assets[name].data)
}

// Reader reads for all pages.
type Reader struct{ *reader }

// SetPatience sets for how long no worker must have answered before pages say so.
func (s *Server) SetPatience(d time.Duration) { s.board.Patience = d }

// NewReader returns a reader of what refresh reads.
func NewReader(conn connection, refresh func(context.Context) error) Reader {
	return Reader{newReader(conn, refresh, zerolog.Nop())}
}

// Run reads until ctx ends.
func (r Reader) Run(ctx context.Context) error { return r.run(ctx) }

// Open counts an open page.
func (r Reader) Open() (closed func()) { return r.open() }

// Demand makes the next page wait for a read that begins later.
func (r Reader) Demand() { r.demand() }

// Fresh returns when the read began that a page shows, whether NATS is away, and what was wrong with the last read.
func (r Reader) Fresh(ctx context.Context) (began time.Time, away bool, problem string) {
	current := r.fresh(ctx)
	return current.began, current.away, current.problem
}

// SameFragment reports whether two visitors share what was rendered for their addresses and readings.
func SameFragment(key1 string, number1 uint64, key2 string, number2 uint64) bool {
	f := newFragments()
	return f.of(key1, number1) == f.of(key2, number2)
}
