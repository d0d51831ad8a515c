package anchor

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	keyInterval = time.Second // between two looks at the key file
	keptKeys    = 3           // the present one and those before it
)

// keySource knows the API key. One that comes from a file is read again by run. As long as a new one cannot be used,
// the last good one stays in use.
type keySource struct {
	file    string                   // empty if the key is a setting
	keys    atomic.Pointer[[]string] // those used in this process, the present one first; at most keptKeys
	problem atomic.Pointer[string]   // why the file cannot be used now; nil if it can
}

// newKeySource returns an error if there is no usable key. It never shows one.
func newKeySource(cfg Config) (*keySource, error) {
	s := &keySource{file: cfg.APIKeyFile}
	key, err := parseKey(string(cfg.APIKey))
	if s.file != "" {
		key, err = readKey(s.file)
	}
	s.keys.Store(&[]string{key})
	return s, err
}

// all returns the keys used in this process, the present one first. The slice must not be changed.
func (s *keySource) all() []string { return *s.keys.Load() }

// run looks at the file until ctx ends.
func (s *keySource) run(ctx context.Context, log zerolog.Logger, changed func()) {
	if s.file == "" {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(keyInterval)
	defer ticker.Stop()
	var last string // the problem that the last look found, with the time of the file
	for {
		last = s.look(log, last, changed)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look reads the file and returns the problem it found, if any. It logs a problem that differs from the last one.
func (s *keySource) look(log zerolog.Logger, last string, changed func()) (found string) {
	key, err := readKey(s.file)
	if err != nil {
		problem := err.Error()
		s.problem.Store(&problem)
		if found = problem + s.written(); found != last {
			log.Error().Str("file", s.file).Err(err).Msg("API key file cannot be used, previous key stays in use")
		}
		return found
	}
	s.problem.Store(nil)
	if key != s.all()[0] {
		s.take(key)
		log.Info().Str("file", s.file).Msg("API key changed")
		changed()
	} else if last != "" {
		log.Info().Str("file", s.file).Msg("API key file can be used again")
	}
	return ""
}

// written returns when the file was last changed, so that the second of two bad changes is logged, too.
func (s *keySource) written() string {
	info, err := os.Stat(s.file)
	if err != nil {
		return ""
	}
	return info.ModTime().String()
}

// take makes a key the present one.
func (s *keySource) take(key string) {
	keys := append([]string{key}, slices.DeleteFunc(slices.Clone(s.all()), func(old string) bool { return old == key })...)
	keys = keys[:min(len(keys), keptKeys)]
	s.keys.Store(&keys)
}

// Run reads the key file again each second, until ctx ends. It calls changed, on its own goroutine, after a new key
// was taken, and logs once when the file changed and cannot be used.
func (c *Client) Run(ctx context.Context, log zerolog.Logger, changed func()) {
	c.key.run(ctx, log, changed)
}

// KeyProblem says why the key file cannot be used now, and which setting names it. It is empty while the file can be
// used.
func (c *Client) KeyProblem() string {
	problem := c.key.problem.Load()
	if problem == nil {
		return ""
	}
	return "ANCHORBROWSER_API_KEY_FILE changed and cannot be used: " + *problem
}

// Keys returns the API key, followed by up to two that were in use before it, for redaction. They are secrets.
func (c *Client) Keys() []string { return slices.Clone(c.key.all()) }
