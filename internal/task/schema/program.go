package schema

import (
	"errors"
	"math"
	"slices"

	"github.com/dlclark/regexp2/v2/syntax"
)

// program is a pattern without back-references, compiled to a nondeterministic finite automaton (Thompson, "Regular
// expression search algorithm", 1968). Each look-around in it has a program of its own.
type program struct {
	code     []instruction
	looks    []*look
	anchored bool // a match can only begin at the beginning of the text
	reverse  bool // the text is read from its end to its beginning
}

// look is a look-around. A look-ahead is read from the end of the text, and a look-behind from its beginning: so one
// reading finds all positions where it holds, instead of one reading for each position.
type look struct {
	program *program
	negated bool
}

// instruction is one state of the automaton.
type instruction struct {
	op opcode
	// By op: the rune, the targets of a split or a jump, the index of the look, or the options of an
	// assertion.
	x, y int32
	set  *syntax.CharSet
}

// opcode says what an instruction does. Those that read a rune continue at the next instruction, and so do
// assertions that hold.
type opcode uint8

const (
	opRune    opcode = iota // reads the rune x
	opNotRune               // reads any other rune
	opSet                   // reads a rune of the set
	opSplit                 // continues at x and at y
	opJump                  // continues at x
	opBegin                 // asserts the beginning of the text
	opEnd                   // asserts its end
	// Lines end at the four terminators of ECMA-262, section 12.3: LF, CR, U+2028 and U+2029.
	opLineBegin
	opLineEnd
	opBoundary
	opNoBoundary
	opLook  // asserts look x
	opMatch // ends a match
	opFail
)

// runeInstruction returns the instruction for a node that matches one rune, or that repeats one.
func runeInstruction(n *syntax.RegexNode) instruction {
	switch {
	case n.IsOneFamily():
		return instruction{op: opRune, x: n.Ch}
	case n.IsNotoneFamily():
		return instruction{op: opNotRune, x: n.Ch}
	default:
		return instruction{op: opSet, set: n.Set}
	}
}

// matches reports whether an instruction that reads a rune accepts r. Other instructions must not be asked.
func (i *instruction) matches(r rune) bool {
	switch i.op {
	case opRune:
		return r == i.x
	case opNotRune:
		return r != i.x
	default:
		return i.set.Contains(r)
	}
}

// errLarge means that the programs of a schema would have more than maxInstructions instructions.
var errLarge = errors.New("it has too many repetitions and alternatives; use smaller counts")

// newProgram compiles a pattern to at most limit instructions, or returns errLarge.
func newProgram(root *syntax.RegexNode, limit int) (p *program, err error) {
	// builder.add panics with errLarge from deep inside the recursion.
	defer func() {
		if broken := recover(); broken != nil {
			p, err = nil, errLarge
			if broken != any(errLarge) {
				panic(broken)
			}
		}
	}()
	return buildProgram(root, false, &limit), nil
}

// buildProgram compiles a pattern or the inside of a look-around. left counts down the instructions of all of them.
func buildProgram(root *syntax.RegexNode, reverse bool, left *int) *program {
	b := &builder{p: &program{reverse: reverse}, left: left}
	b.node(root)
	b.add(instruction{op: opMatch})
	// Every other pattern counts as one that may match anywhere, which costs time but changes no answer.
	b.p.anchored = b.p.code[0].op == opBegin
	return b.p
}

// size returns the number of instructions, including those of the looks.
func (p *program) size() int {
	n := len(p.code)
	for _, l := range p.looks {
		n += l.program.size()
	}
	return n
}

// builder writes a program.
type builder struct {
	p    *program
	left *int // instructions that may still be written, also for the looks
}

// add appends an instruction and returns its index. It panics with errLarge if there are too many.
func (b *builder) add(i instruction) int32 {
	*b.left--
	if *b.left < 0 {
		panic(errLarge)
	}
	b.p.code = append(b.p.code, i)
	return b.end() - 1
}

// end returns the index of the instruction that add appends next.
func (b *builder) end() int32 { return int32(len(b.p.code)) } //#nosec G115 // bounded by maxInstructions

// node writes the instructions for what the node matches.
func (b *builder) node(n *syntax.RegexNode) {
	switch n.T {
	case syntax.NtEmpty, syntax.NtUpdateBumpalong, syntax.NtResetCapture:
	case syntax.NtOne, syntax.NtNotone, syntax.NtSet:
		b.add(runeInstruction(n))
	case syntax.NtMulti:
		b.text(n)
	case syntax.NtConcatenate:
		for _, child := range b.inReadingOrder(n) {
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
		b.repeat(n, func() { b.add(runeInstruction(n)) }) // a loop of one rune
	}
}

// assertion returns the instruction for a node that asserts something about a position without reading a rune.
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

// inReadingOrder returns the parts of a concatenation in the order in which the program reads them. The parser has
// reversed those of a look-behind.
func (b *builder) inReadingOrder(n *syntax.RegexNode) []*syntax.RegexNode {
	if isReverse(n) == b.p.reverse {
		return n.Children
	}
	parts := slices.Clone(n.Children)
	slices.Reverse(parts)
	return parts
}

// isReverse reports whether the node is part of a look-behind.
func isReverse(n *syntax.RegexNode) bool { return n.Options&syntax.RightToLeft != 0 }

// text writes a sequence of runes, from the last to the first if the program reads in reverse.
func (b *builder) text(n *syntax.RegexNode) {
	runes := slices.Clone(n.Str)
	if b.p.reverse {
		slices.Reverse(runes)
	}
	for _, r := range runes {
		b.add(instruction{op: opRune, x: r})
	}
}

// alternate writes, for each alternative but the last: split to it or to the next one, then jump to the end.
func (b *builder) alternate(n *syntax.RegexNode) {
	var jumps []int32
	last := len(n.Children) - 1
	for _, child := range n.Children[:last] {
		split := b.add(instruction{op: opSplit})
		b.p.code[split].x = b.end()
		b.node(child)
		jumps = append(jumps, b.add(instruction{op: opJump}))
		b.p.code[split].y = b.end()
	}
	b.node(n.Children[last])
	for _, jump := range jumps {
		b.p.code[jump].x = b.end()
	}
}

// repeat writes a loop: its body as often as it must match, and then once in a loop without end or, if
// there is a maximum, as often as it may match in addition. Greedy and lazy loops are the same here,
// because only the existence of a match counts.
func (b *builder) repeat(n *syntax.RegexNode, body func()) {
	for range n.M {
		body()
	}
	if n.N == math.MaxInt32 { // no upper bound
		split := b.add(instruction{op: opSplit})
		b.p.code[split].x = b.end()
		body()
		b.add(instruction{op: opJump, x: split})
		b.p.code[split].y = b.end()
		return
	}
	var splits []int32
	for range n.N - n.M {
		split := b.add(instruction{op: opSplit})
		b.p.code[split].x = b.end()
		splits = append(splits, split)
		body()
	}
	// Each optional repetition may be left out, together with all that follow it.
	for _, split := range splits {
		b.p.code[split].y = b.end()
	}
}

// look writes a look-around, which is read in the other direction than the text that it looks at.
func (b *builder) look(n *syntax.RegexNode) {
	index := len(b.p.looks)
	b.add(instruction{op: opLook, x: int32(index)}) //#nosec G115 // bounded by maxGroups
	b.p.looks = append(b.p.looks, nil)              // before those inside it
	b.p.looks[index] = &look{program: buildProgram(n.Children[0], !isReverse(n), b.left), negated: n.T == syntax.NtNegLook}
}
