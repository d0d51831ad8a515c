package anchor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	keyCheckInterval = time.Second
	maxKey           = 4 << 10 // bytes
)

// keySource knows the API key. One that comes from a file is read again, no more than once a second, when
// the file was changed or replaced (Kubernetes swaps a symbolic link). As long as a new one cannot be
// read or is no key, the last good one stays in use.
type keySource struct {
	file string // empty where the key is a setting

	mu      sync.Mutex
	key     *string     // a pointer, for fmt prints unexported strings of whatever type
	info    os.FileInfo // of the file that key was read from
	checked time.Time
}

// newKeySource returns an error where there is no usable key. It never shows one.
func newKeySource(cfg Config) (*keySource, error) {
	if cfg.APIKeyFile == "" {
		key, err := parseKey(string(cfg.APIKey))
		return &keySource{key: &key}, err
	}
	s := &keySource{file: cfg.APIKeyFile, checked: time.Now()}
	err := s.reload()
	return s, err
}

// current returns the key to send.
func (s *keySource) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != "" && time.Since(s.checked) >= keyCheckInterval {
		s.checked = time.Now()
		_ = s.reload() // the last good key stays
	}
	return *s.key
}

// reload looks at the file before it reads it: a change in between is then found the next time.
func (s *keySource) reload() error {
	info, err := os.Stat(s.file)
	if err != nil {
		return err
	}
	if s.info != nil && os.SameFile(info, s.info) && info.ModTime().Equal(s.info.ModTime()) && info.Size() == s.info.Size() {
		return nil
	}
	key, err := readKey(s.file)
	if err != nil {
		return err
	}
	s.key, s.info = &key, info
	return nil
}

func readKey(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxKey+1))
	if err != nil {
		return "", err
	}
	key, err := parseKey(string(data))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return key, nil
}

// parseKey takes white space off both ends and checks that the rest can be sent in a header.
func parseKey(text string) (string, error) {
	key := strings.TrimSpace(text)
	switch {
	case key == "":
		return "", errors.New("it is empty")
	case len(key) > maxKey:
		return "", fmt.Errorf("it is longer than %d bytes", maxKey)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("it contains a space, a line break or another character that no key has")
	}
	return key, nil
}
