package schema

import (
	"errors"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2/syntax"
)

// program is a pattern without back-references as a nondeterministic automaton, with one for each look-around.
type program struct {
	code     []instruction
	looks    []*look // those in the code, in an order of their own
	anchored bool    // it can only begin where the text does
	reverse  bool    // it reads the text from its end
}

// look is what a look-around looks for. A look-ahead is read from the end of the text, a look-behind from its begin:
// so one pass finds all positions at which it holds.
type look struct {
	program *program
	negated bool
}

type instruction struct {
	op   opcode
	x, y int32 // where split and jump go; the number of the look; the options of a boundary
	set  *runeSet
}

type opcode uint8

const (
	opSet opcode = iota // the next rune is in the set
	opSplit
	opJump
	opBegin // of the text
	opEnd
	opLineBegin
	opLineEnd
	opBoundary
	opNoBoundary
	opLook
	opMatch
	opFail
)

// runeSet is a set of runes, with a table for ASCII.
type runeSet struct {
	ascii [utf8.RuneSelf]bool
	other func(rune) bool
}

func newRuneSet(contains func(rune) bool) *runeSet {
	s := &runeSet{other: contains}
	for r := range rune(utf8.RuneSelf) {
		s.ascii[r] = contains(r)
	}
	return s
}

func (s *runeSet) contains(r rune) bool {
	if 0 <= r && r < utf8.RuneSelf {
		return s.ascii[r]
	}
	return s.other(r)
}

var errLarge = errors.New("its repetitions and alternatives are too many; give smaller counts")

// builder writes a program.
type builder struct {
	p    *program
	left *int // instructions that may still be written
	sets map[*syntax.RegexNode]*runeSet
}

// newProgram returns the program of a pattern of at most so many instructions.
func newProgram(root *syntax.RegexNode, most int) (p *program, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			p, err = nil, errLarge
			if broken != any(errLarge) {
				panic(broken)
			}
		}
	}()
	return buildProgram(root, false, &most), nil
}

func buildProgram(root *syntax.RegexNode, reverse bool, left *int) *program {
	b := &builder{p: &program{reverse: reverse}, left: left, sets: map[*syntax.RegexNode]*runeSet{}}
	b.node(root)
	b.add(instruction{op: opMatch})
	b.p.anchored = b.p.code[0].op == opBegin
	return b.p
}

// size is the number of instructions, those of the looks included.
func (p *program) size() int {
	n := len(p.code)
	for _, l := range p.looks {
		n += l.program.size()
	}
	return n
}

func (b *builder) add(i instruction) int {
	*b.left--
	if *b.left < 0 {
		panic(errLarge)
	}
	b.p.code = append(b.p.code, i)
	return len(b.p.code) - 1
}

func (b *builder) next() int32 { return int32(len(b.p.code)) } //#nosec G115 // bounded by maxInstructions

// node writes what the node matches.
func (b *builder) node(n *syntax.RegexNode) {
	switch n.T {
	case syntax.NtEmpty, syntax.NtUpdateBumpalong, syntax.NtResetCapture:
	case syntax.NtOne, syntax.NtNotone, syntax.NtSet:
		b.rune(n)
	case syntax.NtMulti:
		b.text(n)
	case syntax.NtConcatenate:
		for _, child := range b.inOrder(n) {
			b.node(child)
		}
	case syntax.NtAlternate:
		b.alternate(n)
	case syntax.NtCapture, syntax.NtGroup, syntax.NtAtomic:
		b.node(n.Children[0])
	case syntax.NtLoop, syntax.NtLazyloop:
		b.repeat(n, func() { b.node(n.Children[0]) })
	case syntax.NtPosLook, syntax.NtNegLook:
		b.look(n)
	case syntax.NtNothing:
		b.add(instruction{op: opFail})
	default:
		if op, ok := assertion(n.T); ok {
			b.add(instruction{op: op, x: int32(n.Options)})
			return
		}
		b.repeat(n, func() { b.rune(n) }) // a loop of one rune
	}
}

func assertion(t syntax.NodeType) (opcode, bool) {
	switch t {
	case syntax.NtBeginning:
		return opBegin, true
	case syntax.NtEnd:
		return opEnd, true
	case syntax.NtBol:
		return opLineBegin, true
	case syntax.NtEol:
		return opLineEnd, true
	case syntax.NtECMABoundary:
		return opBoundary, true
	case syntax.NtNonECMABoundary:
		return opNoBoundary, true
	default:
		return 0, false
	}
}

// inOrder returns the parts of a concatenation in the order in which the program reads them. In a look-behind the
// parser has them from right to left.
func (b *builder) inOrder(n *syntax.RegexNode) []*syntax.RegexNode {
	if (n.Options&syntax.RightToLeft != 0) == b.p.reverse {
		return n.Children
	}
	parts := slices.Clone(n.Children)
	slices.Reverse(parts)
	return parts
}

func (b *builder) rune(n *syntax.RegexNode) {
	set := b.sets[n]
	if set == nil {
		set = newRuneSet(runesOf(n))
		b.sets[n] = set
	}
	b.add(instruction{op: opSet, set: set})
}

// runesOf returns the test for the runes that a node for one rune, or a loop of one, matches.
func runesOf(n *syntax.RegexNode) func(rune) bool {
	switch {
	case n.IsOneFamily():
		return func(r rune) bool { return r == n.Ch }
	case n.IsNotoneFamily():
		return func(r rune) bool { return r != n.Ch }
	default:
		return n.Set.Contains
	}
}

func (b *builder) text(n *syntax.RegexNode) {
	runes := slices.Clone(n.Str)
	if b.p.reverse {
		slices.Reverse(runes)
	}
	for _, want := range runes {
		b.add(instruction{op: opSet, set: newRuneSet(func(r rune) bool { return r == want })})
	}
}

func (b *builder) alternate(n *syntax.RegexNode) {
	var ends []int
	for i, child := range n.Children {
		if i == len(n.Children)-1 {
			b.node(child)
			break
		}
		split := b.add(instruction{op: opSplit})
		b.p.code[split].x = b.next()
		b.node(child)
		ends = append(ends, b.add(instruction{op: opJump}))
		b.p.code[split].y = b.next()
	}
	for _, end := range ends {
		b.p.code[end].x = b.next()
	}
}

// repeat writes a loop. Whether it is greedy makes no difference to whether there is a match.
func (b *builder) repeat(n *syntax.RegexNode, body func()) {
	for range n.M {
		body()
	}
	if n.N == math.MaxInt32 {
		split := b.add(instruction{op: opSplit})
		b.p.code[split].x = b.next()
		body()
		b.add(instruction{op: opJump, x: int32(split)}) //#nosec G115 // bounded by maxInstructions
		b.p.code[split].y = b.next()
		return
	}
	var splits []int
	for range n.N - n.M {
		split := b.add(instruction{op: opSplit})
		b.p.code[split].x = b.next()
		splits = append(splits, split)
		body()
	}
	for _, split := range splits {
		b.p.code[split].y = b.next()
	}
}

func (b *builder) look(n *syntax.RegexNode) {
	behind := n.Options&syntax.RightToLeft != 0
	b.add(instruction{op: opLook, x: int32(len(b.p.looks))}) //#nosec G115 // bounded by maxGroups
	b.p.looks = append(b.p.looks, nil)
	at := len(b.p.looks) - 1
	b.p.looks[at] = &look{program: buildProgram(n.Children[0], !behind, b.left), negated: n.T == syntax.NtNegLook}
}
