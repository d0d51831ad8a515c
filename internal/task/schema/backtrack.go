package schema

import (
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2/syntax"
)

// maxNested bounds how deep a search with back-references may go: each group that is repeated takes stack.
const maxNested = 20_000

// backtrack reports whether a pattern with back-references is found in the text. It tries one way after the other,
// as ECMA-262 describes it (22.2.2), which can take time without end: the meter breaks it off.
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

type span struct{ from, to int }

// search is an attempt to match from one position.
type search struct {
	text     string
	meter    *meter
	captured map[int]span // by the number of the group
	nested   int
}

// match reports whether the node matches from the position on, in its own direction, and the rest matches after it.
func (s *search) match(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
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
		to, ok := s.read(n, runesOf(n), pos)
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

// matchSpecial matches groups, references and look-arounds, and what is left.
func (s *search) matchSpecial(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
	switch n.T {
	case syntax.NtCapture:
		return s.match(n.Children[0], pos, func(to int) bool {
			return s.capture(n.M, span{min(pos, to), max(pos, to)}, true, func() bool { return rest(to) })
		})
	case syntax.NtResetCapture:
		return s.capture(n.M, span{}, false, func() bool { return rest(pos) })
	case syntax.NtRef:
		return s.matchText(n, s.text[s.captured[n.M].from:s.captured[n.M].to], pos, rest)
	case syntax.NtPosLook, syntax.NtNegLook:
		before := s.groups()
		found := s.match(n.Children[0], pos, func(int) bool { return true })
		if found == (n.T == syntax.NtPosLook) && rest(pos) {
			return true
		}
		s.captured = before
		return false
	default:
		return s.matchLeaf(n, pos, rest)
	}
}

// matchLeaf matches assertions and loops of one rune.
func (s *search) matchLeaf(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
	if op, ok := assertion(n.T); ok {
		return holdsIn(s.text, pos, op, n.Options) && rest(pos)
	}
	return s.loopRunes(n, pos, rest)
}

// groups returns a copy of what was captured.
func (s *search) groups() map[int]span {
	s.meter.op(len(s.captured))
	return maps.Clone(s.captured)
}

// capture calls rest with the group set or unset, and restores it if rest fails.
func (s *search) capture(group int, at span, set bool, rest func() bool) bool {
	before, was := s.captured[group]
	if set {
		s.captured[group] = at
	} else {
		delete(s.captured, group)
	}
	if rest() {
		return true
	}
	if was {
		s.captured[group] = before
	} else {
		delete(s.captured, group)
	}
	return false
}

func (s *search) matchAll(nodes []*syntax.RegexNode, pos int, rest func(int) bool) bool {
	if len(nodes) == 0 {
		return rest(pos)
	}
	return s.match(nodes[0], pos, func(to int) bool { return s.matchAll(nodes[1:], to, rest) })
}

// loop matches a group that is repeated and was so count times. An empty repetition beyond the least number ends it.
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

// loopRunes matches a loop of one rune: no stack for each repetition.
func (s *search) loopRunes(n *syntax.RegexNode, pos int, rest func(int) bool) bool {
	lazy := n.T == syntax.NtOnelazy || n.T == syntax.NtNotonelazy || n.T == syntax.NtSetlazy
	contains := runesOf(n)
	ends := []int{pos}
	for len(ends) <= n.N {
		if lazy && len(ends) > n.M && rest(ends[len(ends)-1]) {
			return true
		}
		s.meter.op(2)
		to, ok := s.read(n, contains, ends[len(ends)-1])
		if !ok {
			break
		}
		ends = append(ends, to)
	}
	if lazy {
		return len(ends) == n.N+1 && rest(ends[n.N])
	}
	for count := len(ends) - 1; count >= n.M; count-- {
		if rest(ends[count]) {
			return true
		}
	}
	return false
}

// read reads one rune in the node's direction.
func (s *search) read(n *syntax.RegexNode, contains func(rune) bool, pos int) (int, bool) {
	r, width := utf8.DecodeRuneInString(s.text[pos:])
	if n.Options&syntax.RightToLeft != 0 {
		r, width = utf8.DecodeLastRuneInString(s.text[:pos])
		return pos - width, width > 0 && contains(r)
	}
	return pos + width, width > 0 && contains(r)
}

// matchText matches a text in the node's direction.
func (s *search) matchText(n *syntax.RegexNode, want string, pos int, rest func(int) bool) bool {
	s.meter.op(len(want))
	if n.Options&syntax.RightToLeft != 0 {
		return strings.HasSuffix(s.text[:pos], want) && rest(pos-len(want))
	}
	return strings.HasPrefix(s.text[pos:], want) && rest(pos+len(want))
}
