package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Keeper is a child that kills the processes that are left when this program has ended, even by kill -9.
type Keeper struct {
	self  string // path of this program
	mu    sync.Mutex
	stdin io.WriteCloser // guarded by mu
}

// NewKeeper starts this program again as the keeper: its main must call RunChild.
func NewKeeper(ctx context.Context) (*Keeper, error) {
	env, err := ChildEnv(keeper, nil)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Env = []string{env}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the keeper: %w", err)
	}
	return &Keeper{self: self, stdin: stdin}, nil
}

// The signs before the number of a process that tell the keeper of its start and its end.
const signStarted, signEnded = '+', '-'

func (k *Keeper) watch(sign rune, pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = fmt.Fprintf(k.stdin, "%c%d\n", sign, pid)
}

// Close makes the keeper kill the processes that are left, and end.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.stdin.Close()
}

// keep is the keeper's own main. At the end of its input it kills the processes that have not ended.
func keep(r io.Reader) {
	running := map[int]bool{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		pid, err := strconv.Atoi(strings.TrimLeft(line, "+-"))
		switch {
		case err != nil || pid <= 1:
		case line[0] == signStarted:
			running[pid] = true
		default:
			delete(running, pid)
		}
	}
	for pid := range running {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
