package verdict

// Core is what a subscriber without JetStream got, which only subscribes to the subject of the events.
type Core struct {
	Got  map[string]int // how often, by message id
	Lost bool           // its connection was lost, so it may have missed some
	// Excuses returns how many copies of the message the faults explain: after such a fault a worker cannot know whether
	// the stream has its event, and publishes it again. Nil: none.
	Excuses func(id string) int
}

// judgeCore checks that the subscriber got each message of the stream once. A fault must explain each copy. If Got is nil
// there was no subscriber.
func (c *Count) judgeCore(e Evidence) {
	if e.Core.Got == nil {
		return
	}
	stored := map[string]bool{}
	for _, ev := range e.Events {
		id := ev.header("Nats-Msg-Id")
		stored[id] = true
		if e.Core.Got[id] == 0 && !e.Core.Lost {
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
