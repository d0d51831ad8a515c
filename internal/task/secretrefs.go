package task

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// secretRefs is the field that names the files of secrets.
const secretRefs = "secret_refs"

// maxSecretFile is the length of the longest name of a secret's file, in bytes.
const maxSecretFile = 256

// SecretRef is a secret that the worker reads from a file right before the submission.
type SecretRef struct {
	Name string // of the secret, as the agent knows it
	File string // relative to SECRETS_DIR, with slashes; see fs.ValidPath
}

// readSecretRefs takes the names of the files that hold secrets. A name must stay inside the folder.
func (r *Request) readSecretRefs(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	all := members(value)
	if len(all) > maxSecrets {
		return &violation{rule: fmt.Sprintf("must have at most %d names (got %d)", maxSecrets, len(all))}
	}
	for _, m := range all {
		file, err := stringIn(m.value)
		switch {
		case err != nil:
		case len(m.name) > maxSecretName:
			err = &violation{rule: fmt.Sprintf("must have a name of at most %d bytes", maxSecretName)}
		case !isSecretFile(file):
			err = &violation{rule: fmt.Sprintf("must be the relative path of a file, such as \"shop/pin\", without \"..\" and of at most %d bytes", maxSecretFile), got: file}
		}
		if err != nil {
			return inField("."+m.name, err)
		}
		r.SecretRefs = append(r.SecretRefs, SecretRef{Name: m.name, File: file})
	}
	return nil
}

// isSecretFile reports whether a name is a relative path without "." and ".." in it.
func isSecretFile(name string) bool {
	return fs.ValidPath(name) && name != "." && len(name) <= maxSecretFile &&
		!strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f })
}

// checkSecretNames refuses a secret that is given both as a value and as a file.
func checkSecretNames(all []member) error {
	values := members(valueOf(all, secretValues))
	for ref := range eachMember(valueOf(all, secretRefs)) {
		if valueOf(values, ref.name) != nil {
			return &violation{field: secretRefs + "." + ref.name, rule: "must not be in " + secretValues + " as well"}
		}
	}
	return nil
}

// WithSecrets returns the body of a run with the values of its SecretRefs, in their order, among its secret_values.
func (r *Request) WithSecrets(body []byte, values []string) []byte {
	own := valueOf(members(body), secretValues)
	all := members(own)
	for i, ref := range r.SecretRefs {
		all = append(all, member{name: ref.Name, value: quote(values[i])})
	}
	object := []byte{'{'}
	for _, m := range all {
		object = appendMember(object, m)
	}
	return replaceMembers(body, []member{{name: secretValues, value: append(object, '}')}})
}

// AddSecrets makes the values of the SecretRefs, in their order, secrets of the request: its event shows none of them. An
// empty one is not known. Blanks around a value may be lost on its way, so it is a secret without them as well.
func (r *Request) AddSecrets(values []string) {
	secrets := slices.Clone(r.ownSecrets)
	for i, ref := range r.SecretRefs {
		for _, value := range slices.Compact([]string{values[i], strings.TrimSpace(values[i])}) {
			if value != "" {
				secrets = append(secrets, redact.Secret{Name: ref.Name, Value: value})
			}
		}
	}
	for _, old := range r.refSecrets { // a rotated value may still be in an answer
		if !slices.Contains(secrets, old) {
			secrets = append(secrets, old)
		}
	}
	r.refSecrets = secrets[len(r.ownSecrets):]
	r.Secrets = Secrets{redact.New(secrets...)}
	r.hideHost(r.refSecrets)
}
