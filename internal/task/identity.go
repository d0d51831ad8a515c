package task

import "strings"

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

// taskID returns the id the request names itself, else the one its publisher gave the message, else the
// default. One that is not well formed, or is named twice, counts as none.
func taskID(m Message, all []member) string {
	var named []string
	for _, each := range all {
		if each.name == "task_id" {
			named = append(named, textOf(each.value))
		}
	}
	for _, ids := range [][]string{named, m.Header[msgIDHeader]} {
		if len(ids) == 1 && wellFormed(ids[0]) {
			return ids[0]
		}
	}
	return m.DefaultID()
}
