package anchortest

// blocks are the workflows that Plan.Block keeps from running. The server's mutex guards them.
type blocks struct {
	blocked     map[string][]func() // by task, how each of its blocked workflows is run
	released    map[string]bool     // by task; no later workflow of it blocks
	releasedAll bool
}

func newBlocks() blocks { return blocks{blocked: map[string][]func(){}, released: map[string]bool{}} }

// add keeps a workflow's run until the task is released. It runs it at once if the task has been.
func (b *blocks) add(name string, run func()) {
	if b.releasedAll || b.released[name] {
		run()
		return
	}
	b.blocked[name] = append(b.blocked[name], run)
}

func (b *blocks) release(name string) {
	b.released[name] = true
	for _, run := range b.blocked[name] {
		run()
	}
	delete(b.blocked, name)
}

// Release ends Plan.Block for the task of that name: its blocked workflows run, and later ones do not block.
func (s *Server) Release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks.release(name)
}

// ReleaseAll is Release for every task, whether it was seen yet or not.
func (s *Server) ReleaseAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks.releasedAll = true
	for name := range s.blocks.blocked {
		s.blocks.release(name)
	}
}
