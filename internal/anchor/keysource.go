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
	// keyInterval is the time between two readings of the key file. It is read whether it changed or not,
	// which works for every way to replace a file, such as the symbolic links of a Kubernetes Secret.
	keyInterval = time.Second

	// keptKeys is the number of keys to redact: the current one and those before it, which calls in
	// progress may still use.
	keptKeys = 3
)

// keySource holds the API key. Client.Run reads a key file again when it changes; while the file is
// invalid, the last valid key stays in use. After newKeySource only Run writes its fields, and any
// goroutine may read them.
type keySource struct {
	// file is empty if the key is a setting, which never changes.
	file string

	// keys points to those used in this process, the current one first; at most keptKeys. A slice that is
	// stored here is never changed.
	keys atomic.Pointer[[]string]

	// problem says why the file is invalid. It is nil if the file is valid.
	problem atomic.Pointer[string]
}

// newKeySource returns an error, which never contains a key, if there is no valid key.
func newKeySource(cfg Config) (*keySource, error) {
	s := &keySource{file: cfg.APIKeyFile}
	key, err := parseKey(string(cfg.APIKey))
	if s.file != "" {
		key, err = readKey(s.file)
	}
	s.keys.Store(&[]string{key})
	return s, err
}

// all returns the keys used in this process, the current one first. The caller must not change the slice.
func (s *keySource) all() []string { return *s.keys.Load() }

// Run reads the key file again every second until ctx ends. After a new key was taken, it calls changed on
// its own goroutine. It logs a file that became invalid once for each change of the file. Call it once.
// Without a key file it only waits. Run logs no key.
func (c *Client) Run(ctx context.Context, log zerolog.Logger, changed func()) {
	if c.keys.file == "" {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(keyInterval)
	defer ticker.Stop()
	var last string // the problem of the last reading
	for {
		last = c.keys.reload(log, last, changed)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reload reads the file. It returns what is wrong with it and with which version of it, or "". It logs a problem if
// that differs from the last one.
func (s *keySource) reload(log zerolog.Logger, last string, changed func()) string {
	key, err := readKey(s.file)
	if err != nil {
		problem := err.Error()
		s.problem.Store(&problem)
		if problem += s.modTime(); problem != last {
			log.Error().Str("file", s.file).Err(err).Msg("API key file cannot be used, previous key stays in use")
		}
		return problem
	}
	s.problem.Store(nil) // KeyProblem is "" again
	if key != s.all()[0] {
		s.use(key)
		log.Info().Str("file", s.file).Msg("API key changed")
		changed()
	} else if last != "" {
		log.Info().Str("file", s.file).Msg("API key file can be used again")
	}
	return ""
}

// modTime tells two versions of an invalid file apart, so that each is logged once. It returns "" for a
// file that is missing.
func (s *keySource) modTime() string {
	info, err := os.Stat(s.file)
	if err != nil {
		return ""
	}
	return info.ModTime().String()
}

// use makes key the current one. A key that was in use before moves to the front. Only one goroutine may
// call it.
func (s *keySource) use(key string) {
	keys := append([]string{key}, slices.DeleteFunc(slices.Clone(s.all()), func(old string) bool { return old == key })...)
	keys = keys[:min(len(keys), keptKeys)]
	s.keys.Store(&keys)
}

// KeyProblem returns why the key file is invalid now, with the name of the setting, or "" if it is valid.
func (c *Client) KeyProblem() string {
	problem := c.keys.problem.Load()
	if problem == nil {
		return ""
	}
	return "ANCHORBROWSER_API_KEY_FILE changed and cannot be used: " + *problem
}

// Keys returns the API key, followed by up to two that were in use before it, so that the caller can redact them.
func (c *Client) Keys() []string { return slices.Clone(c.keys.all()) }
