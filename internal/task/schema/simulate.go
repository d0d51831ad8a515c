package schema

import (
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2/syntax"
)

// find reports whether the program matches a part of the text, in steps that are bounded by the product of their
// lengths.
func (p *program) find(text string, m *meter) bool {
	found := false
	p.scan(text, m, func(int) bool {
		found = true
		return false
	})
	return found
}

// positions returns at which places of the text the look holds, by the offset of its bytes.
func (l *look) positions(text string, m *meter) bitmap {
	m.spend(len(text) / (8 * opsPerStep))
	at := newBitmap(len(text) + 1)
	l.program.scan(text, m, func(pos int) bool {
		at.set(pos)
		return true
	})
	if l.negated {
		at.invert()
	}
	return at
}

// simulation is a run of a program over a text: all ways through it at once.
type simulation struct {
	*program
	text    string
	meter   *meter
	holds   []bitmap // for each look, where it holds
	threads threads  // instructions that wait for the next rune
	stack   []int32
	matched bool
}

// scan calls found with each position at which a match ends that may begin anywhere, until it returns false. A
// program that reads backwards begins at the end of the text.
func (p *program) scan(text string, m *meter, found func(pos int) bool) {
	s := &simulation{program: p, text: text, meter: m, threads: newThreads(len(p.code))}
	m.spend(len(p.code) / opsPerStep)
	for _, l := range p.looks {
		s.holds = append(s.holds, l.positions(text, m))
	}
	before := newThreads(len(p.code))
	pos := 0
	if p.reverse {
		pos = len(text)
	}
	for {
		if !p.anchored || pos == 0 {
			s.follow(0, pos)
		}
		if s.matched && !found(pos) {
			return
		}
		r, width := s.read(pos)
		if width == 0 || p.anchored && !p.reverse && len(s.threads.list) == 0 {
			return
		}
		pos += width
		before, s.threads = s.threads, before
		s.step(before.list, r, pos)
	}
}

// read returns the rune to read next and how far it takes the position, which is 0 at the end.
func (s *simulation) read(pos int) (rune, int) {
	if s.reverse {
		r, width := utf8.DecodeLastRuneInString(s.text[:pos])
		return r, -width
	}
	return utf8.DecodeRuneInString(s.text[pos:])
}

// step moves the threads over the rune to the position behind it.
func (s *simulation) step(before []int32, r rune, pos int) {
	s.threads.clear()
	s.matched = false
	s.meter.op(1 + len(before))
	for _, pc := range before {
		if s.code[pc].set.contains(r) {
			s.follow(pc+1, pos)
		}
	}
}

// follow adds the instructions that wait for a rune and can be reached from pc without reading one.
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
		case opSet:
			s.threads.list = append(s.threads.list, pc)
		case opSplit:
			s.stack = append(s.stack, i.y, i.x)
		case opJump:
			s.stack = append(s.stack, i.x)
		case opMatch:
			s.matched = true
		case opFail:
		default:
			if s.holdsAt(i, pos) {
				s.stack = append(s.stack, pc+1)
			}
		}
	}
}

// holdsAt reports whether an assertion holds at the position.
func (s *simulation) holdsAt(i *instruction, pos int) bool {
	if i.op == opLook {
		return s.holds[i.x].has(pos)
	}
	return holdsIn(s.text, pos, i.op, syntax.RegexOptions(i.x))
}

// holdsIn reports whether an assertion that is no look-around holds at a position of the text.
func holdsIn(text string, pos int, op opcode, options syntax.RegexOptions) bool {
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

// threads is a set of instructions.
type threads struct {
	list    []int32  // those that wait for a rune
	visited []uint32 // by instruction, the round in which it was visited
	round   uint32
}

func newThreads(size int) threads { return threads{visited: make([]uint32, size), round: 1} }

func (t *threads) clear() {
	t.list = t.list[:0]
	t.round++
	if t.round == 0 {
		clear(t.visited)
		t.round = 1
	}
}

// visit reports whether the instruction is visited for the first time in this round.
func (t *threads) visit(pc int32) bool {
	if t.visited[pc] == t.round {
		return false
	}
	t.visited[pc] = t.round
	return true
}

// bitmap is a set of positions.
type bitmap []uint64

func newBitmap(size int) bitmap { return make(bitmap, size/64+1) }

func (b bitmap) set(pos int) { b[pos/64] |= 1 << (pos % 64) }

func (b bitmap) has(pos int) bool { return b[pos/64]&(1<<(pos%64)) != 0 }

func (b bitmap) invert() {
	for i := range b {
		b[i] = ^b[i]
	}
}
