package schema

import (
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2/syntax"
)

// maxNested bounds the recursion of a search with back-references: each repetition of a group takes stack.
// A stack of more than 1 GB (runtime/debug.SetMaxStack) would end the process, and no recover can prevent
// that.
const maxNested = 20_000

// backtrack reports whether a pattern with back-references matches any part of the text. It tries one path after the
// other, as ECMA-262 describes matching (section 22.2.2). That can take exponential time, so the meter stops it.
func backtrack(root *syntax.RegexNode, text string, m *meter) bool {
	for pos := 0; ; {
		s := &search{text: text, meter: m, captured: map[int]span{}}
		if s.match(root, pos, func(int) bool { return true }) {
			return true
		}
		_, width := utf8.DecodeRuneInString(text[pos:])
		if width == 0 {
			return false
		}
		pos += width
	}
}

// span is the part of the text that a group has captured, in byte offsets. It does not include the byte at
// to.
type span struct{ from, to int }

// search is an attempt to match at one position. Its methods take the rest of the pattern as a function ("continuation")
// from the position where a node's match ends: a node matches only if the rest matches as well.
type search struct {
	text  string
	meter *meter
	// By the number of the group. A group that has not taken part in the match is missing.
	captured map[int]span
	// How many calls of match are under way, at most maxNested.
	nested int
}

// match reports whether the node, read in its own direction, matches at pos, and the rest after it.
func (s *search) match(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
	// A node costs more than an operation of an automaton: most nodes need a closure for what follows them.
	s.meter.op(4)
	s.nested++
	defer func() { s.nested-- }()
	if s.nested > maxNested {
		panic(errCostly)
	}
	switch n.T {
	case syntax.NtEmpty, syntax.NtUpdateBumpalong:
		return rest(pos)
	case syntax.NtNothing:
		return false
	case syntax.NtOne, syntax.NtNotone, syntax.NtSet:
		to, ok := s.read(n, pos)
		return ok && rest(to)
	case syntax.NtMulti:
		return s.matchText(n, string(n.Str), pos, rest)
	case syntax.NtConcatenate:
		return s.matchAll(n.Children, pos, rest)
	case syntax.NtAlternate:
		for _, child := range n.Children {
			if s.match(child, pos, rest) {
				return true
			}
		}
		return false
	case syntax.NtGroup, syntax.NtAtomic:
		return s.match(n.Children[0], pos, rest)
	case syntax.NtLoop:
		return s.loop(n, 0, pos, true, rest)
	case syntax.NtLazyloop:
		return s.loop(n, 0, pos, false, rest)
	default:
		return s.matchSpecial(n, pos, rest)
	}
}

// matchSpecial matches captures, references, look-arounds, assertions, and loops of one rune.
func (s *search) matchSpecial(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
	switch n.T {
	case syntax.NtCapture:
		return s.match(n.Children[0], pos, func(to int) bool {
			// A look-behind reads backward, so its match ends before it begins.
			return s.capture(n.M, span{min(pos, to), max(pos, to)}, true, func() bool { return rest(to) })
		})
	// The parser puts one before each repetition of a group: what an earlier repetition captured does not
	// count (ECMA-262, RepeatMatcher).
	case syntax.NtResetCapture:
		return s.capture(n.M, span{}, false, func() bool { return rest(pos) })
	// A group that was not captured matches the empty text (ECMA-262, BackreferenceMatcher).
	case syntax.NtRef:
		return s.matchText(n, s.text[s.captured[n.M].from:s.captured[n.M].to], pos, rest)
	case syntax.NtPosLook, syntax.NtNegLook:
		// Only the first way in which the inside matches counts: if the rest fails, no other one is tried.
		// A negative look-around leaves no captures.
		before := s.copyCaptured()
		found := s.match(n.Children[0], pos, func(int) bool { return true })
		if found == (n.T == syntax.NtPosLook) && rest(pos) {
			return true
		}
		s.captured = before
		return false
	default:
		if op, ok := assertion(n.T); ok {
			return assertAt(s.text, pos, op, n.Options) && rest(pos)
		}
		return s.loopRunes(n, pos, rest)
	}
}

// copyCaptured lets a look-around be undone: what it captured is lost if the rest fails.
func (s *search) copyCaptured() map[int]span {
	s.meter.op(len(s.captured))
	return maps.Clone(s.captured)
}

// capture sets or unsets a group and calls rest. If rest fails, it restores the group.
func (s *search) capture(group int, to span, set bool, rest func() bool) bool {
	before, wasSet := s.captured[group]
	if set {
		s.captured[group] = to
	} else {
		delete(s.captured, group)
	}
	if rest() {
		return true
	}
	if wasSet {
		s.captured[group] = before
	} else {
		delete(s.captured, group)
	}
	return false
}

// matchAll matches the nodes one after the other, and then the rest.
func (s *search) matchAll(nodes []*syntax.RegexNode, pos int, rest func(int) bool) bool {
	if len(nodes) == 0 {
		return rest(pos)
	}
	return s.match(nodes[0], pos, func(to int) bool { return s.matchAll(nodes[1:], to, rest) })
}

// loop matches further repetitions of a group after count of them. An empty repetition beyond the minimum
// ends the loop (ECMA-262, RepeatMatcher). n.M is the minimum of repetitions, and n.N the maximum, which is
// math.MaxInt32 if there is none.
func (s *search) loop(n *syntax.RegexNode, count, pos int, greedy bool, rest func(int) bool) bool {
	once := func() bool {
		return count < n.N && s.match(n.Children[0], pos, func(to int) bool {
			return (to != pos || count < n.M) && s.loop(n, count+1, to, greedy, rest)
		})
	}
	switch {
	case count < n.M:
		return once()
	case greedy:
		return once() || rest(pos)
	default:
		return rest(pos) || once()
	}
}

// loopRunes matches a loop of one rune. It does not call itself for each repetition as loop does, because
// such loops run over whole texts. ends holds the position after each number of repetitions.
func (s *search) loopRunes(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
	lazy := n.T == syntax.NtOnelazy || n.T == syntax.NtNotonelazy || n.T == syntax.NtSetlazy
	ends := []int{pos}
	for len(ends) <= n.N {
		if lazy && len(ends) > n.M && rest(ends[len(ends)-1]) {
			return true
		}
		s.meter.op(2)
		to, ok := s.read(n, ends[len(ends)-1])
		if !ok {
			break
		}
		ends = append(ends, to)
	}
	if lazy {
		// Every position was tried but the one after the last repetition that is allowed.
		return len(ends) == n.N+1 && rest(ends[n.N])
	}
	// A greedy loop takes as many runes as it can, and gives them back one by one while the rest fails.
	for count := len(ends) - 1; count >= n.M; count-- {
		if rest(ends[count]) {
			return true
		}
	}
	return false
}

// read reads the rune of a node in the node's direction and returns the position after it. It returns false
// if the rune does not match or the text ends there.
func (s *search) read(n *syntax.RegexNode, pos int) (int, bool) {
	i := runeInstruction(n)
	if isReverse(n) {
		r, width := utf8.DecodeLastRuneInString(s.text[:pos])
		return pos - width, width > 0 && i.matches(r)
	}
	r, width := utf8.DecodeRuneInString(s.text[pos:])
	return pos + width, width > 0 && i.matches(r)
}

// matchText matches a text in the node's direction. In a look-behind it must end at pos. Its own runes are
// in the order of the text in both directions.
func (s *search) matchText(n *syntax.RegexNode, want string, pos int, rest func(int) bool) bool {
	s.meter.op(len(want))
	if isReverse(n) {
		return strings.HasSuffix(s.text[:pos], want) && rest(pos-len(want))
	}
	return strings.HasPrefix(s.text[pos:], want) && rest(pos+len(want))
}
