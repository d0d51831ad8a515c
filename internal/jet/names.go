package jet

// Mark is the key of the metadata by which a worker marks the streams, consumers and buckets that it creates. The value says
// what for. The mark tells Capstan's own from those that another application created under the same name.
const Mark = "capstan"

// The subjects on which workers answer questions. Package fleet has the answers, and package streams the permissions.
const (
	StatusSubject = "capstan.worker.status" // each worker says what it does
	TaskSubject   = "capstan.worker.task"   // the worker that has a task says what it does for it
)
