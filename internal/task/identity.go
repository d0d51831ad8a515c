package task

import (
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
	"strconv"
	"strings"
)

// msgIDHeader is where a publisher names a message so that JetStream can tell duplicates.
const msgIDHeader = "Nats-Msg-Id"

const maxTaskID = 128 // bytes

// wellFormed reports whether an id is safe as a key of a KV bucket, as a message id and in a file name.
func wellFormed(id string) bool {
	const (
		ends   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		inside = ends + "._-="
	)
	return 0 < len(id) && len(id) <= maxTaskID && strings.Trim(id, inside) == "" &&
		strings.IndexByte(ends, id[0]) >= 0 && strings.IndexByte(ends, id[len(id)-1]) >= 0 && !strings.Contains(id, "..")
}

// isDefaultOfAnother reports whether another request of the same stream has this id if it names none. Under such an id, a request
// would pass for the other one.
func (d Delivery) isDefaultOfAnother(id string) bool {
	seq, ok := strings.CutPrefix(id, d.Stream+"-")
	return ok && seq != "" && strings.Trim(seq, "0123456789") == "" && id != d.DefaultID()
}

// checkIdentity refuses an id that is the default of another request.
func (d Delivery) checkIdentity(id string) error {
	if !d.isDefaultOfAnother(id) {
		return nil
	}
	return &fault{holds: id, rule: "ids of the form " + d.Stream + "-<number> are for requests that name none; give another"}
}

// taskID returns the id the request names itself, else the one its publisher gave the message, else the
// default. One that is not well formed, is named twice, or is another request's default counts as none.
func taskID(d Delivery, all []member) string {
	var named []string
	for _, each := range all {
		if each.name == "task_id" {
			named = append(named, textOf(each.value))
		}
	}
	for _, ids := range [][]string{named, d.Header[msgIDHeader]} {
		if len(ids) == 1 && wellFormed(ids[0]) && !d.isDefaultOfAnother(ids[0]) {
			return ids[0]
		}
	}
	return d.DefaultID()
}

// checkMessageID refuses the publisher's message id where it is the task's and another request's default. Where it is no id for a
// task, it is remembered: JetStream tells copies of the request only within its duplicate window, and Capstan cannot.
func (r *Request) checkMessageID(header map[string][]string) error {
	ids := header[msgIDHeader]
	if len(ids) == 0 || ids[0] == "" {
		return nil
	}
	if len(ids) == 1 && wellFormed(ids[0]) {
		return inField(msgIDHeader, r.Delivery.checkIdentity(ids[0]))
	}
	r.UnusedMessageID = cut(r.Secrets.Text(strings.ToValidUTF8(ids[0], "\ufffd")), maxShown)
	return nil
}

// taskKind is the same for requests whose tasks may be expected to take about as long. It is short, whatever the request holds.
func taskKind(all []member) string {
	return short(valueOf(all, "agent")) + " " + short(valueOf(all, "model")) + " " + stepClass(valueOf(all, "max_steps"))
}

// short returns the text, or a hash of one that is long.
func short(text []byte) string {
	const most = 64
	if len(text) <= most {
		return string(text)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// stepClass returns the next power of two, so that there are few classes of numbers.
func stepClass(number []byte) string {
	n, err := strconv.ParseUint(string(number), 10, 32)
	if err != nil || n == 0 {
		return ""
	}
	return strconv.Itoa(1 << bits.Len64(n-1))
}
