package anchor

import "github.com/capstan-worker/capstan/internal/task"

const redacted = "[redacted]"

// Secret prints as [redacted].
type Secret = task.Secret
