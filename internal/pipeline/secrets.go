package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task"
)

// Bounds of the secrets in files, in bytes: of one, and of all that a request refers to. They are in memory until the event
// is stored.
const (
	maxSecretSize  = 16 << 10
	maxSecretsSize = 64 << 10
)

// readSecrets reads the secrets that the request refers to, right before a submission: a secret that was rotated is read
// anew each time. From then on the event shows none of their values.
func (r *run) readSecrets() error {
	if len(r.req.SecretRefs) == 0 {
		return nil
	}
	if r.cfg.SecretsDir == "" {
		return errors.New("secret_refs: this worker has no SECRETS_DIR")
	}
	root, err := os.OpenRoot(r.cfg.SecretsDir)
	if err != nil {
		return errors.New("secret_refs: SECRETS_DIR cannot be opened")
	}
	defer func() { _ = root.Close() }() // nothing was written
	values, err := readRefs(root, r.req.SecretRefs)
	r.req.AddSecrets(values) // those that could be read, if not all
	if err != nil {
		return err
	}
	r.secrets, r.hasSecrets = values, true
	return nil
}

// readRefs returns the secrets, in the order of the references, each file read once. After an error it goes on with the
// others: what could not be read is "", and the error is the first.
func readRefs(root *os.Root, refs []task.SecretRef) (values []string, first error) {
	values = make([]string, len(refs))
	files, size := map[string]string{}, 0
	for i, ref := range refs {
		value, known := files[ref.File]
		var err error
		if !known {
			value, err = readSecret(root, ref.File)
		}
		if size += len(value); err == nil && size > maxSecretsSize {
			err = fmt.Errorf("is one too many: all secrets together have more than %d bytes", maxSecretsSize)
		}
		if err != nil {
			first = cmp.Or(first, fmt.Errorf("secret_refs.%s: the file %s %w", ref.Name, ref.File, err))
			continue
		}
		values[i], files[ref.File] = value, value
	}
	return values, first
}

// readSecret returns the content of a file, without the line break at its end. Links that lead out of the folder are
// refused. The error ends a sentence about the file.
func readSecret(root *os.Root, name string) (string, error) {
	// A named pipe would block without O_NONBLOCK.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("does not exist in SECRETS_DIR")
	case err != nil:
		return "", errors.New("cannot be opened: it must be readable and inside SECRETS_DIR")
	}
	defer func() { _ = file.Close() }() // nothing was written
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.New("is not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSecretSize+1))
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case err != nil:
		return "", errors.New("cannot be read")
	case value == "":
		return "", errors.New("is empty")
	case len(content) > maxSecretSize:
		return "", fmt.Errorf("has more than %d bytes", maxSecretSize)
	case !utf8.ValidString(value):
		return "", errors.New("is not valid UTF-8")
	}
	return value, nil
}

// redactReferences makes the secrets that another worker has submitted secrets of this run, too: the workflow may return
// them. A value that was rotated since cannot be known.
func (r *run) redactReferences(rec *task.Record) {
	if r.hasSecrets {
		return
	}
	if err := r.readSecrets(); err != nil {
		r.log.Warn().Str("task", rec.TaskID).Err(err).Msg("secrets of a task that was taken over cannot be redacted")
	}
}

// body returns the JSON to post for the run that the record is in.
func (r *run) body(rec *task.Record) []byte {
	body := r.req.BodyOf(rec.Run)
	if r.hasSecrets {
		body = r.req.WithSecrets(body, r.secrets)
	}
	return body
}
