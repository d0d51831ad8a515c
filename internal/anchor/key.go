package anchor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const maxKey = 4 << 10 // bytes

func readKey(name string) (string, error) {
	// Opening a pipe would block.
	if info, err := os.Stat(name); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("read %s: it is not a regular file", name)
	}
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

// parseKey takes white space off both ends and checks that the rest can be a key: something that can be sent in a
// header, and no quoted text, assignment or placeholder that was taken for the key. The error does not show it.
func parseKey(text string) (string, error) {
	key := strings.TrimSpace(text)
	switch {
	case key == "":
		return "", errors.New("it is empty")
	case len(key) > maxKey:
		return "", fmt.Errorf("it is longer than %d bytes", maxKey)
	case strings.HasPrefix(key, "\ufeff"):
		return "", errors.New("it begins with a byte order mark, which no key has")
	case len(key) > 7 && strings.EqualFold(key[:7], "Bearer "):
		return "", errors.New("it begins with Bearer")
	case strings.ContainsAny(key, "\"'`"):
		return "", errors.New("it contains a quote, which no key has")
	case strings.ContainsAny(key, "$<>{}"):
		return "", errors.New("it contains one of $<>{}, as a placeholder does and no key")
	case strings.ContainsAny(key, `=\`):
		return "", errors.New("it contains = or a backslash, which no key has")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("it contains a space, a line break or another character that no key has")
	}
	return key, nil
}
