package redact

import (
	"cmp"
	"math"
	"slices"
)

// automaton finds all secrets in one reading of a text (Aho and Corasick, "Efficient string matching", 1975). A state stands
// for a prefix of a secret: the longest prefix that the text read so far ends with. State 0 is the empty prefix.
//
// The states of a secret have consecutive numbers, so that most transitions need no table, and a state takes 8 bytes. Only
// the transitions where two secrets part are in a map.
type automaton struct {
	label []byte // the byte that leads to a state
	// The state of its longest proper suffix that is a prefix of a secret.
	fail []int32
	// The index of the longest secret that is a suffix of it; 0 means that none is.
	found []uint16
	flags []uint8    // ends, branches
	root  [256]int32 // the transitions of state 0
	// The transitions of states with the flag branches, except for those to the next state of their chain.
	extra  map[transition]int32
	chains []chain // the states in their order
	length []int   // bytes of the secret with each index
}

// The flags of a state.
const (
	ends     uint8 = 1 << iota // it is the last state of its chain
	branches                   // it has transitions in extra
)

// transition is the key of a transition: a state and the next byte of the text.
type transition struct {
	state int32
	next  byte
}

// chain is a run of consecutive states. Each leads to the next. A secret has at most one: the states that
// it shares with secrets before it are in their chains.
type chain struct {
	first, end int32 // end is the number after the last
	parent     int32 // the state that leads to first
	depth      int   // the length of the prefix that first stands for
}

// maxSecrets is the greatest number of secrets: an index has 16 bits. Index 0 means no secret.
const maxSecrets = math.MaxUint16

// newAutomaton builds the automaton for at most maxSecrets secrets. The longest must be first.
func newAutomaton(all []Secret) *automaton {
	size := 1
	for _, s := range all {
		size += len(s.Value)
	}
	a := &automaton{
		label: make([]byte, 1, size), found: make([]uint16, size), flags: make([]uint8, size),
		extra: map[transition]int32{}, length: []int{0},
	}
	var index uint16
	end := int32(1)
	for _, s := range all {
		index++
		a.length = append(a.length, len(s.Value))
		last, next := a.insert(s.Value, end)
		// Two secrets may lead to the same state, because + and a blank are the same byte.
		if a.found[last] == 0 {
			a.found[last] = index
		}
		end = next
	}
	a.fail = make([]int32, len(a.label))
	a.link()
	return a
}

// insert adds those states of a secret that do not exist yet, from number end on. It returns the secret's last state and the
// next free number.
func (a *automaton) insert(value string, end int32) (last, newEnd int32) {
	state, depth := int32(0), 0
	for depth < len(value) {
		next := a.transition(state, fold(value[depth]))
		if next == 0 {
			break
		}
		state = next
		depth++
	}
	if depth == len(value) {
		return state, end
	}
	if b := fold(value[depth]); state == 0 {
		a.root[b] = end
	} else {
		a.extra[transition{state, b}] = end
		a.flags[state] |= branches
	}
	c := chain{first: end, parent: state, depth: depth + 1}
	for ; depth < len(value); depth++ {
		a.label = append(a.label, fold(value[depth]))
		end++
	}
	c.end = end
	a.chains = append(a.chains, c)
	a.flags[end-1] |= ends
	return end - 1, end
}

// link sets fail and found of all states. It visits them by depth, because each depends on states that are less deep.
func (a *automaton) link() {
	// Chains that have not begun yet, and those whose states are being visited.
	waiting := slices.SortedFunc(slices.Values(a.chains), func(a, b chain) int { return cmp.Compare(a.depth, b.depth) })
	var active []chain
	for depth := 1; len(active)+len(waiting) > 0; depth++ {
		for len(waiting) > 0 && waiting[0].depth == depth {
			active, waiting = append(active, waiting[0]), waiting[1:]
		}
		left := active[:0]
		for _, c := range active {
			// The suffix of a single byte is the empty prefix, which is state 0.
			if state := c.first; c.parent != 0 {
				a.fail[state] = a.step(a.fail[c.parent], a.label[state])
			}
			if a.found[c.first] == 0 {
				a.found[c.first] = a.found[a.fail[c.first]]
			}
			c.parent = c.first
			c.first++
			if c.first < c.end {
				left = append(left, c)
			}
		}
		active = left
	}
}

// step returns the state after the next byte of the text, which must be folded. For a whole text it needs at most two
// transitions a byte: each one that does not read a byte leads to a state that is less deep.
func (a *automaton) step(state int32, b byte) int32 {
	for {
		if next := a.transition(state, b); next != 0 || state == 0 {
			return next
		}
		state = a.fail[state]
	}
}

// transition returns the state that a byte leads to, or 0 if there is none.
func (a *automaton) transition(state int32, b byte) int32 {
	if state == 0 {
		return a.root[b]
	}
	flags := a.flags[state]
	if flags&ends == 0 && a.label[state+1] == b {
		return state + 1
	}
	if flags&branches != 0 {
		return a.extra[transition{state, b}]
	}
	return 0
}

// depth returns the length of the prefix that the state stands for.
func (a *automaton) depth(state int32) int {
	if state == 0 {
		return 0
	}
	i, found := slices.BinarySearchFunc(a.chains, state, func(c chain, state int32) int { return cmp.Compare(c.first, state) })
	// It is inside the chain before.
	if !found {
		i--
	}
	return a.chains[i].depth + int(state-a.chains[i].first)
}

// fold maps + to a blank, because a + in the query of a URL means a blank.
func fold(b byte) byte {
	if b == '+' {
		return ' '
	}
	return b
}
