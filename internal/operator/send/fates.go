package send

// Fate is what is known of a message.
type Fate int32

// The fates. The zero fate is NotSent.
const (
	NotSent   Fate = iota
	Unknown        // it was sent, and no answer came
	Refused        // the stream did not take it
	Stored         // the stream has stored it
	Duplicate      // the stream had it already
)

// Fates are what is known of messages, by their numbers.
type Fates []Fate

// Counts says how far some requests have come into the queue.
type Counts struct {
	All     int
	Before  int // were there before
	Stored  int // were stored by this command
	Unknown int // were sent without an answer: each may be stored or not
	Unsent  int // were not sent, or refused
}

// Counts counts the messages by their fate. Only what is confirmed counts as stored.
func (all Fates) Counts() Counts {
	c := Counts{All: len(all)}
	for _, f := range all {
		switch f {
		case Duplicate:
			c.Before++
		case Stored:
			c.Stored++
		case Unknown:
			c.Unknown++
		default:
			c.Unsent++
		}
	}
	return c
}
