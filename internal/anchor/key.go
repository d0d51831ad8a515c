package anchor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxKey bounds a key in bytes, in case the setting names a wrong and large file.
const maxKey = 4 << 10

// readKey reads a key file. It refuses everything but a regular file: opening a named pipe would block. The
// error names the file and never contains a part of it. White space around the key, such as the last line
// break, is allowed.
func readKey(name string) (string, error) {
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

// parseKey trims white space and checks that the rest can be an API key. It refuses what cannot be sent in a header, and
// common mistakes: a quoted key, an assignment, a placeholder. The error does not contain the key.
func parseKey(text string) (string, error) {
	key := strings.TrimSpace(text)
	switch {
	case key == "":
		return "", errors.New("it is empty")
	case len(key) > maxKey:
		return "", fmt.Errorf("it is longer than %d bytes", maxKey)
	case strings.HasPrefix(key, "\ufeff"):
		return "", errors.New("it begins with a byte order mark")
	case len(key) > 7 && strings.EqualFold(key[:7], "Bearer "):
		return "", errors.New("it begins with Bearer")
	case strings.ContainsAny(key, "\"'`"):
		return "", errors.New("it contains a quote")
	case strings.ContainsAny(key, "$<>{}"):
		return "", errors.New("it contains one of $<>{}, like a placeholder")
	case strings.ContainsAny(key, `=\`):
		return "", errors.New("it contains = or a backslash")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("it contains a space, a line break or a character outside ASCII")
	}
	return key, nil
}
