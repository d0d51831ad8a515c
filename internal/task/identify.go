package task

import "encoding/json"

// Identity is which task a request is of, as far as it can be told without its rules.
type Identity struct {
	TaskID string // the id that a worker will give its task, also if it refuses the request
	Batch  string // empty if there is none, or none that is valid
	Host   string // of the url, in lower case; empty without one, and if it holds a secret
}

// Identify returns the identity of a request. It checks no rule, so it takes a fraction of the time of ParseRequest.
func Identify(d Delivery) Identity {
	data := withoutMark(d.Data)
	var all []member
	if json.Valid(data) {
		all = members(data)
	}
	id := Identity{TaskID: taskID(d, all)}
	if batch := textOf(valueOf(all, "batch")); isBatch(batch) {
		id.Batch = batch
	}
	var r Request
	if url := valueOf(all, "url"); url != nil && r.readURL(url) == nil {
		if secrets := valueOf(all, secretValues); secrets != nil && r.readSecrets(secrets) == nil {
			r.hideHost(r.ownSecrets)
		}
		id.Host = r.Host
	}
	return id
}
