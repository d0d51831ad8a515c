package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// msgIDHeader is the header by which JetStream detects duplicates.
const msgIDHeader = "Nats-Msg-Id"

// Bounds of names, in bytes.
const (
	// LongestID is the length of the longest task id: a default one. It is made of the name of a stream, which NATS limits to
	// 255 bytes, and a number.
	LongestID = 255 + len("-") + len("18446744073709551615")

	// LongestBatch is the length of the longest name of a batch.
	LongestBatch = 64

	// maxTaskID is the length of the longest task id that a request can give itself.
	maxTaskID = 128
)

// wellFormed reports whether a task id is a name of the right length.
func wellFormed(id string) bool { return len(id) <= maxTaskID && isName(id) }

// isBatch reports whether a text can be the name of a batch.
func isBatch(name string) bool { return len(name) <= LongestBatch && isName(name) }

// isName reports whether an id is safe as a key of a KV bucket, as a message id and in a file name. The
// key is a part of a subject, whose tokens must not be empty (NATS ADR-8): so dots stand neither at an end
// nor next to each other.
func isName(id string) bool {
	const (
		ends   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		inside = ends + "._-="
	)
	return id != "" && strings.Trim(id, inside) == "" &&
		strings.IndexByte(ends, id[0]) >= 0 && strings.IndexByte(ends, id[len(id)-1]) >= 0 && !strings.Contains(id, "..")
}

// isDefaultOfAnother reports whether the id is the default of another request of the same stream: a request that took it
// would be mistaken for that one.
func (d Delivery) isDefaultOfAnother(id string) bool {
	seq, ok := strings.CutPrefix(id, d.Stream+"-")
	return ok && seq != "" && strings.Trim(seq, "0123456789") == "" && id != d.DefaultID()
}

// checkIdentity refuses an id that is the default of another request.
func (d Delivery) checkIdentity(id string) error {
	if !d.isDefaultOfAnother(id) {
		return nil
	}
	return &violation{rule: "must not be of the form " + d.Stream + "-<number>, which is for requests without an id", got: id}
}

// checkTaskID accepts an id that is well formed and is not the default of another request.
func checkTaskID(r *Request, value json.RawMessage) error {
	id, err := stringIn(value)
	if err != nil {
		return err
	}
	if !wellFormed(id) {
		return &violation{rule: fmt.Sprintf("must be 1 to %d letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..'", maxTaskID), got: id}
	}
	return r.Delivery.checkIdentity(id)
}

// readBatch takes the name of the batch that the task belongs to.
func (r *Request) readBatch(value json.RawMessage) (err error) {
	if r.Batch, err = stringIn(value); err != nil {
		return err
	}
	if !isBatch(r.Batch) {
		return &violation{rule: fmt.Sprintf("must be 1 to %d letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..'", LongestBatch), got: r.Batch}
	}
	return nil
}

// taskID returns the id that the request gives itself, else the one that its publisher gave the message, else the default.
// An id counts as missing if it is not well formed, is given twice, or is another request's default.
func taskID(d Delivery, all []member) string {
	var own []string
	for _, m := range all {
		if m.name == "task_id" {
			own = append(own, textOf(m.value))
		}
	}
	for _, ids := range [][]string{own, d.Header[msgIDHeader]} {
		if len(ids) == 1 && wellFormed(ids[0]) && !d.isDefaultOfAnother(ids[0]) {
			return ids[0]
		}
	}
	return d.DefaultID()
}

// checkMessageID refuses the publisher's message id if it is the task's id and another request's default. If it cannot be
// a task id, it is kept in UnusedMessageID: then JetStream detects copies of the request only within its duplicate
// window, and Capstan cannot.
func (r *Request) checkMessageID(header map[string][]string) error {
	ids := header[msgIDHeader]
	if len(ids) == 0 || ids[0] == "" {
		return nil
	}
	if len(ids) == 1 && wellFormed(ids[0]) {
		return inField(msgIDHeader, r.Delivery.checkIdentity(ids[0]))
	}
	r.UnusedMessageID = truncate(r.Secrets.Text(strings.ToValidUTF8(ids[0], "\ufffd")), maxShown)
	return nil
}

// taskKind returns the same for requests whose tasks are likely to take about the same time. It has at most 150 bytes.
func taskKind(all []member) string {
	return textOrHash(valueOf(all, "agent")) + " " + textOrHash(valueOf(all, "model")) + " " + stepClass(valueOf(all, "max_steps"))
}

// textOrHash returns the text, or a hash of one that is longer than 64 bytes: half of its SHA-256, in hex.
func textOrHash(text []byte) string {
	const longest = 64
	if len(text) <= longest {
		return string(text)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// stepClass returns the next power of two, so that there are few classes, or "" if there is no number.
func stepClass(number []byte) string {
	n, err := strconv.ParseUint(string(number), 10, 32)
	if err != nil || n == 0 {
		return ""
	}
	return strconv.Itoa(1 << bits.Len64(n-1))
}
