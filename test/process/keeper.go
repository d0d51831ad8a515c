package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Keeper is a child that kills what is left when this program is gone, be it by kill -9.
type Keeper struct {
	mu    sync.Mutex
	stdin io.WriteCloser // guarded by mu
}

// NewKeeper starts the program at path, which with that environment is to call Keep.
func NewKeeper(ctx context.Context, path string, env ...string) (*Keeper, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the keeper: %w", err)
	}
	return &Keeper{stdin: stdin}, nil
}

func (k *Keeper) watch(sign rune, pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = fmt.Fprintf(k.stdin, "%c%d\n", sign, pid)
}

// Close lets the keeper kill what is left, and end.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.stdin.Close()
}

// Keep is the keeper's own main: it notes who is there, and at the end of its input kills them.
func Keep(r io.Reader) {
	alive := map[int]bool{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		pid, err := strconv.Atoi(strings.TrimLeft(line, "+-"))
		if err != nil || pid <= 1 {
			continue
		}
		alive[pid] = strings.HasPrefix(line, "+")
	}
	for pid, is := range alive {
		if is {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
