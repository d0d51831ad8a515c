package schema

import (
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2/syntax"
)

// find reports whether the program matches any part of the text. The steps are bounded by the product of
// the lengths of program and text. It panics with the meter's error if they are too many.
func (p *program) find(text string, m *meter) bool {
	found := false
	p.scan(text, m, func(int) bool {
		found = true
		return false
	})
	return found
}

// positions returns the byte offsets of the text where the look holds, from 0 to its length.
func (l *look) positions(text string, m *meter) bitmap {
	m.spend(len(text) / (8 * opsPerStep))
	holds := newBitmap(len(text) + 1)
	l.program.scan(text, m, func(pos int) bool {
		holds.set(pos)
		return true
	})
	if l.negated {
		holds.invert()
	}
	return holds
}

// simulation runs a program over a text, following all paths at once.
type simulation struct {
	*program
	text  string
	meter *meter
	// For each look, where it holds.
	holds   []bitmap
	threads threads
	// The work that is left to follow. It is kept only to use its memory again.
	stack   []int32
	matched bool // a match ends at the current position
}

// scan calls found with each position where a match ends, until found returns false. Unless the program is anchored, a
// match may begin anywhere. A reverse program starts at the end of the text.
func (p *program) scan(text string, m *meter, found func(pos int) bool) {
	s := &simulation{program: p, text: text, meter: m, threads: newThreads(len(p.code))}
	m.spend(len(p.code) / opsPerStep)
	for _, l := range p.looks {
		s.holds = append(s.holds, l.positions(text, m))
	}
	// Two sets take turns, so that no step needs a new one.
	previous := newThreads(len(p.code))
	pos := 0
	if p.reverse {
		pos = len(text)
	}
	for {
		if !p.anchored || pos == 0 { // a match may begin here
			s.follow(0, pos)
		}
		if s.matched && !found(pos) {
			return
		}
		r, width := s.read(pos)
		if width == 0 || p.anchored && !p.reverse && len(s.threads.list) == 0 {
			// The text has ended, or no thread is left and none can begin.
			return
		}
		pos += width
		previous, s.threads = s.threads, previous
		s.step(previous.list, r, pos)
	}
}

// read returns the rune to read at pos, and by how much it changes pos: 0 at the end.
func (s *simulation) read(pos int) (rune, int) {
	if s.reverse {
		r, width := utf8.DecodeLastRuneInString(s.text[:pos])
		return r, -width
	}
	return utf8.DecodeRuneInString(s.text[pos:])
}

// step moves the previous threads over the rune r, to the position after it.
func (s *simulation) step(previous []int32, r rune, pos int) {
	s.threads.clear()
	s.matched = false
	s.meter.op(1 + len(previous))
	for _, pc := range previous {
		if s.code[pc].matches(r) {
			s.follow(pc+1, pos)
		}
	}
}

// follow adds the threads that can be reached from pc without reading a rune.
func (s *simulation) follow(pc int32, pos int) {
	s.stack = append(s.stack[:0], pc)
	for len(s.stack) > 0 {
		pc = s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if !s.threads.visit(pc) {
			continue
		}
		s.meter.op(1)
		switch i := &s.code[pc]; i.op {
		case opRune, opNotRune, opSet:
			s.threads.list = append(s.threads.list, pc)
		case opSplit:
			// The order of the two does not matter, because only the existence of a match counts.
			s.stack = append(s.stack, i.y, i.x)
		case opJump:
			s.stack = append(s.stack, i.x)
		case opMatch:
			s.matched = true
		case opFail:
		default:
			if s.assert(i, pos) {
				s.stack = append(s.stack, pc+1)
			}
		}
	}
}

// assert reports whether an assertion holds at the position.
func (s *simulation) assert(i *instruction, pos int) bool {
	if i.op == opLook {
		return s.holds[i.x].has(pos)
	}
	return assertAt(s.text, pos, i.op, syntax.RegexOptions(i.x))
}

// assertAt reports whether an assertion other than a look-around holds at a position of the text.
func assertAt(text string, pos int, op opcode, options syntax.RegexOptions) bool {
	before, width := utf8.DecodeLastRuneInString(text[:pos])
	after, widthAfter := utf8.DecodeRuneInString(text[pos:])
	isWord := func(r rune, width int) bool { return width > 0 && syntax.IsECMAWordCharWithOptions(options, r) }
	switch op {
	case opBegin:
		return width == 0
	case opEnd:
		return widthAfter == 0
	case opLineBegin:
		return width == 0 || syntax.IsECMALineTerminator(before)
	case opLineEnd:
		return widthAfter == 0 || syntax.IsECMALineTerminator(after)
	case opBoundary:
		return isWord(before, width) != isWord(after, widthAfter)
	default:
		return isWord(before, width) == isWord(after, widthAfter)
	}
}

// threads is a set of instructions that wait for the next rune.
type threads struct {
	list    []int32
	visited []uint32 // by instruction: the round of its last visit
	round   uint32   // counts the runes of a text, which is shorter than 4 GiB
}

// newThreads returns an empty set for a program of this many instructions. Round 0 is not used, because
// visited is 0 at first.
func newThreads(size int) threads { return threads{visited: make([]uint32, size), round: 1} }

// clear removes all threads and begins a new round, so that visited need not be cleared.
func (t *threads) clear() {
	t.list = t.list[:0]
	t.round++
}

// visit reports whether this is the first visit of the instruction in this round.
func (t *threads) visit(pc int32) bool {
	if t.visited[pc] == t.round {
		return false
	}
	t.visited[pc] = t.round
	return true
}

// bitmap is a set of positions.
type bitmap []uint64

// newBitmap returns an empty set for positions from 0 to size.
func newBitmap(size int) bitmap { return make(bitmap, size/64+1) }

func (b bitmap) set(pos int) { b[pos/64] |= 1 << (pos % 64) }

func (b bitmap) has(pos int) bool { return b[pos/64]&(1<<(pos%64)) != 0 }

// invert also sets the unused bits at the end, which nothing reads.
func (b bitmap) invert() {
	for i := range b {
		b[i] = ^b[i]
	}
}
