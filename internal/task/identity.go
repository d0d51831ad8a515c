package task

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// msgIDHeader is where a publisher names a message so that JetStream can tell duplicates.
const msgIDHeader = "Nats-Msg-Id"

// idForm is the form of a task id, but for the two dots in a row that it may not have: what is safe as a
// key of a KV bucket, as a message id and in a file name.
var idForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._=-]{0,126}[A-Za-z0-9])?$`)

func wellFormed(id string) bool { return idForm.MatchString(id) && !strings.Contains(id, "..") }

// taskID returns the id the request names itself, else the one its publisher gave the message, else the
// default. One that is not well formed, or is named twice, counts as none.
func taskID(m Message, all []member) string {
	named := slices.DeleteFunc(slices.Clone(all), func(m member) bool { return m.name != "task_id" })
	if len(named) == 1 {
		if id, err := decode[string](named[0].value, "a string"); err == nil && wellFormed(id) {
			return id
		}
	}
	if ids := m.Header[msgIDHeader]; len(ids) == 1 && wellFormed(ids[0]) {
		return ids[0]
	}
	return m.DefaultID()
}

// digest returns the hex SHA-256 of the request's canonical JSON: members sorted by name, no white
// space, numbers as they were written. Secrets and metadata are left out, because they may change
// between two copies of a request, and task_id is the resolved one, because it may stand in the body or
// in the header.
func digest(all []member, taskID string) string {
	content := map[string]any{}
	for _, m := range all {
		if m.name == secretValues || m.name == "metadata" {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(m.value))
		dec.UseNumber()
		var v any
		_ = dec.Decode(&v) // it has been parsed before
		content[m.name] = v
	}
	content["task_id"] = taskID
	canonical, _ := json.Marshal(content) // it has just been read from JSON
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}
