package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// BuildWith builds a program of this module with some source files replaced, which may be the standard library's. The
// files themselves do not change. replaced holds the new texts by path; folder is for temporary files of the build.
func BuildWith(ctx context.Context, replaced map[string]string, folder, pkg, path string, flags ...string) error {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range replaced {
		name := filepath.Join(folder, strconv.Itoa(len(overlay.Replace))+"-"+filepath.Base(file))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return fmt.Errorf("replace %s: %w", file, err)
		}
		overlay.Replace[file] = name
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return fmt.Errorf("replace files of %s: %w", pkg, err)
	}
	name := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return fmt.Errorf("replace files of %s: %w", pkg, err)
	}
	return Build(ctx, pkg, path, append(flags, "-overlay", name)...)
}
