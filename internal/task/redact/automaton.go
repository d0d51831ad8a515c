package redact

import (
	"cmp"
	"math"
	"slices"
)

// automaton finds all secrets in one reading of a text (Aho and Corasick, 1975). A state stands for a beginning of a secret:
// the longest one that the text read so far ends with. State 0 stands for the empty beginning.
//
// The states of a secret have consecutive numbers, so that most transitions need no table: a state takes 8 bytes. Only where
// two secrets part is a transition kept apart.
type automaton struct {
	label  []byte               // the byte that leads to a state
	fail   []int32              // the state of the longest proper ending that is the beginning of a secret
	found  []uint16             // the index of the longest secret that ends here; 0 for none
	flags  []uint8              // ends, branches
	root   [256]int32           // the transitions of state 0
	extra  map[transition]int32 // the transitions of states with the flag branches
	chains []chain              // the states in their order
	length []int                // bytes of the secret with each index
}

const (
	ends     uint8 = 1 << iota // the next state is another chain's
	branches                   // it has transitions in extra
)

// transition leads from a state to another with the next byte of the text.
type transition struct {
	state int32
	next  byte
}

// chain is a run of states, each of which leads to the next.
type chain struct {
	first, end int32 // end is behind the last
	parent     int32 // the state that leads to first
	depth      int   // how many bytes lead from state 0 to first
}

// maxSecrets is how many secrets an automaton can tell apart.
const maxSecrets = math.MaxUint16

// newAutomaton takes at most maxSecrets in order of their length, the longest first.
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
		if a.found[last] == 0 {
			a.found[last] = index
		}
		end = next
	}
	a.fail = make([]int32, len(a.label))
	a.link()
	return a
}

// insert adds the states of a secret that are not there yet, the first of which gets the number end. It returns the secret's
// last state and the next number.
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

// link sets fail and found of all states, in the order of their depth, since each looks at less deep ones.
func (a *automaton) link() {
	waiting := slices.SortedFunc(slices.Values(a.chains), func(a, b chain) int { return cmp.Compare(a.depth, b.depth) })
	var active []chain
	for depth := 1; len(active)+len(waiting) > 0; depth++ {
		for len(waiting) > 0 && waiting[0].depth == depth {
			active, waiting = append(active, waiting[0]), waiting[1:]
		}
		left := active[:0]
		for _, c := range active {
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

// step returns the state after the next byte of the text, which is folded. Over a whole text it takes at most two looks for
// each byte, because each look that does not read a byte leads to a less deep state.
func (a *automaton) step(state int32, b byte) int32 {
	for {
		if next := a.transition(state, b); next != 0 || state == 0 {
			return next
		}
		state = a.fail[state]
	}
}

// transition returns the state that a byte leads to, or 0 where there is none.
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

// depth returns how many bytes of a secret the state stands for.
func (a *automaton) depth(state int32) int {
	if state == 0 {
		return 0
	}
	i, found := slices.BinarySearchFunc(a.chains, state, func(c chain, state int32) int { return cmp.Compare(c.first, state) })
	if !found {
		i--
	}
	return a.chains[i].depth + int(state-a.chains[i].first)
}

// fold makes one byte of a blank and a +.
func fold(b byte) byte {
	if b == '+' {
		return ' '
	}
	return b
}
