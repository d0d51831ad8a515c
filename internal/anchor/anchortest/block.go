package anchortest

// blocks holds the workflows that Plan.Block keeps from ending. The server's mutex guards it.
type blocks struct {
	waiting     map[string][]func() // by the name of the task in the log: each starts one workflow
	released    map[string]bool     // by task: its workflows no longer block
	releasedAll bool
}

func newBlocks() blocks { return blocks{waiting: map[string][]func(){}, released: map[string]bool{}} }

// add calls start when the task is released, at once if it has been released. start is called with the
// server's mutex held.
func (b *blocks) add(name string, start func()) {
	if b.releasedAll || b.released[name] {
		start()
		return
	}
	b.waiting[name] = append(b.waiting[name], start)
}

// release starts the waiting workflows of a task, in the order in which they were accepted.
func (b *blocks) release(name string) {
	b.released[name] = true
	for _, start := range b.waiting[name] {
		start()
	}
	delete(b.waiting, name)
}

// Release ends Plan.Block for the task of that name. Its blocked workflows run for Plan.Run and end, and its later
// workflows do not block.
func (s *Server) Release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks.release(name)
}

// ReleaseAll is Release for all tasks, including those that are submitted later.
func (s *Server) ReleaseAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks.releasedAll = true
	for name := range s.blocks.waiting {
		s.blocks.release(name)
	}
}
