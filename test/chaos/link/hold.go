package link

import "sync"

// Match reports whether a hold applies to a message that a client publishes, and the key under which it counts.
type Match func(Frame) (key string, ok bool)

// Hold removes messages from a link: they never arrive, and everything else passes. If the client repeats one, the
// repetition is removed as well.
type Hold struct {
	match   Match
	answers bool

	mu       sync.Mutex
	awaiting map[string]string // reply subject to the key of its message; guarded by mu
	held     map[string]bool   // by key; guarded by mu
}

// Before removes the messages that match, until the link is healed: the server never gets them.
func (l *Link) Before(match Match) *Hold { return l.hold(match, false) }

// After removes the server's answers to the messages that match, until the link is healed: the server has handled them,
// and the client does not know.
func (l *Link) After(match Match) *Hold { return l.hold(match, true) }

func (l *Link) hold(match Match, answers bool) *Hold {
	h := &Hold{match: match, answers: answers, awaiting: map[string]string{}, held: map[string]bool{}}
	l.change(func() { l.holds = append(l.holds, h) })
	return h
}

// Held returns how many messages with different keys it has removed.
func (h *Hold) Held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

// holdBack reports whether a hold removes the frame.
func (l *Link) holdBack(f Frame) bool {
	l.mu.Lock()
	holds := l.holds
	l.mu.Unlock()
	for _, h := range holds {
		if h.takes(f) {
			return true
		}
	}
	return false
}

func (h *Hold) takes(f Frame) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !f.FromClient {
		key, ok := h.awaiting[f.Subject]
		if ok {
			h.held[key] = true
		}
		return ok
	}
	if f.Verb != "PUB" && f.Verb != "HPUB" {
		return false
	}
	key, ok := h.match(f)
	switch {
	case !ok:
		return false
	case h.answers && f.Reply == "":
		return false
	case h.answers:
		h.awaiting[f.Reply] = key
		return false
	default:
		h.held[key] = true
		return true
	}
}
