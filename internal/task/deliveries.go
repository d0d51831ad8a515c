package task

import "time"

// DeliveryCount counts the deliveries of one request that ended without a step forward. It is kept beside the
// records, under the request's place in its stream: a request that kills each worker that reads it cannot be asked
// for its id.
type DeliveryCount struct {
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
	Stored time.Time `json:"stored"`            // when the stream stored the request
	Count  int       `json:"count"`             // deliveries since the last step forward, this one included
	TaskID string    `json:"task_id,omitempty"` // where the request could be read
}

// DeliveriesPrefix begins the keys of the counts. No task id has a slash, so that they are told from the records' keys.
const DeliveriesPrefix = "deliveries/"

// Of reports whether the count is of this very message. A stream that was recreated counts its messages from 1
// again.
func (d DeliveryCount) Of(m Delivery) bool { return d.Seq == m.Seq && d.Stored.Equal(m.Stored) }
