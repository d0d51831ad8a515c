package verdict

// Core is what a subscriber without JetStream got: one that only has a subscription to the subject of the events.
type Core struct {
	Got  map[string]int // how often, by message id
	Away bool           // its connection was lost, so that it may have missed some
	// Excuses returns how many copies of the message the faults explain, beyond the first: those after which a
	// worker cannot know whether the stream has its event, and sends it once more. Nil: none.
	Excuses func(id string) int
}

// judgeCore holds what the subscriber got against the stream: each message once. A copy needs a fault of its own as
// an explanation. Where Got is nil there was no such subscriber.
func (c *Count) judgeCore(e Evidence) {
	if e.Core.Got == nil {
		return
	}
	stored := map[string]bool{}
	for _, ev := range e.Events {
		id := ev.header("Nats-Msg-Id")
		stored[id] = true
		if e.Core.Got[id] == 0 && !e.Core.Away {
			c.complain("%s: event %d did not reach the subscriber without JetStream", ev.TaskID, ev.Seq)
		}
	}
	for id, n := range e.Core.Got {
		if !stored[id] {
			c.complain("the subscriber without JetStream got %q, and the stream did not", id)
		}
		c.judgeCopies(e, id, n-1)
	}
}

func (c *Count) judgeCopies(e Evidence, id string, copies int) {
	excused := 0
	switch {
	case e.Older:
		excused = copies
	case e.Core.Excuses != nil && copies > 0:
		excused = min(copies, e.Core.Excuses(id))
	}
	c.Copies += copies
	c.Excused += excused
	if copies > excused {
		c.complain("the subscriber without JetStream got %q %d times, and faults explain %d", id, copies+1, excused+1)
	}
}
