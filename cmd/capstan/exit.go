package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/streams"
)

// The exit statuses, as the help states them. A script that gets exitUsage knows that nothing was sent. After exitFailed,
// exitWaited and exitNATS the request may be stored, and the task may run.
const (
	exitOK = 0

	// exitFailed means that a task or a check failed, and stands for every error that has no status of its own.
	exitFailed = 1

	// exitUsage means that the command line, a request or a setting must be corrected first.
	exitUsage = 2

	// exitWaited means that the time to wait is over. What was waited for continues.
	exitWaited = 3

	// exitNATS means that NATS could not be reached, or refused: the login, a permission, or a stream or bucket that
	// does not exist.
	exitNATS = 4

	// exitSignal plus the number of a signal means that the signal ended the command: 130 after Ctrl-C, as in a shell.
	exitSignal = 128
)

// usageError is a mistake in the command line, a request or a setting. Nothing was sent, and the exit status is exitUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// waitTimeoutError says that the time to wait is over; the exit status is exitWaited. A command that bounds its wait
// returns it, because an end of the time of a single call means that NATS does not answer. See withinTime.
type waitTimeoutError struct{ error }

func (e waitTimeoutError) Unwrap() error { return e.error }

// natsError is a refusal by NATS that the command describes in its own words, such as a missing stream; the exit status is
// exitNATS. Errors that wrap one of NATS need it not.
type natsError struct{ error }

func (e natsError) Unwrap() error { return e.error }

// errTaskFailed makes the exit status exitFailed without a message, because the event that describes the failure has been
// printed already.
var errTaskFailed = errors.New("the task failed")

// signalError is the cause of the end of a context that a signal ended. It is a context.Canceled.
type signalError struct{ signal syscall.Signal }

func (signalError) Unwrap() error { return context.Canceled }

func (e signalError) Error() string { return "stopped by signal: " + e.signal.String() }

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, so that the command can finish cleanly. A second
// signal kills the process.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		received := <-signals
		signal.Stop(signals)
		number, _ := received.(syscall.Signal)
		cancel(signalError{number})
	}()
	return ctx
}

// withinTime returns err as a waitTimeoutError if ctx has ended because its time is over, whatever its cause, and else err.
// Call it with the context that bounds the wait, and with the error of the wait.
func withinTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return waitTimeoutError{err}
	}
	return err
}

// exitStatus returns the exit status for the error of a command that ran with ctx. If a signal ended the command, that
// counts more than the error that followed, unless a task has failed.
func exitStatus(ctx context.Context, err error) int {
	_, isUsage := errors.AsType[usageError](err)
	_, isWait := errors.AsType[waitTimeoutError](err)
	stopped, isStopped := errors.AsType[signalError](context.Cause(ctx))
	if status, ok := errors.AsType[workerError](err); ok {
		return int(status)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errTaskFailed):
		return exitFailed
	case isStopped:
		return exitSignal + int(stopped.signal)
	case isUsage:
		return exitUsage
	case isWait:
		return exitWaited
	case isOfNATS(err):
		return exitNATS
	default:
		return exitFailed
	}
}

// isSilent reports whether an error needs no message: the event or the worker's own message was printed, or the error says
// no more than that the user has pressed Ctrl-C.
func isSilent(ctx context.Context, err error) bool {
	_, isSignal := errors.AsType[signalError](err)
	_, isWorker := errors.AsType[workerError](err)
	isCanceled := errors.Is(err, context.Canceled) && errors.Unwrap(err) == nil
	return err == nil || errors.Is(err, errTaskFailed) || isSignal || isWorker || isCanceled && ctx.Err() != nil
}

// isOfNATS reports whether an error means that NATS could not be reached or refused something. A key or a message that does
// not exist is an answer.
func isOfNATS(err error) bool {
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrKeyNotFound) {
		return false
	}
	_, isRefusal := errors.AsType[*jetstream.APIError](err)
	_, isConnect := errors.AsType[streams.ConnectError](err)
	_, isClosed := errors.AsType[closedError](err)
	_, isOwn := errors.AsType[natsError](err)
	_, isMissing := errors.AsType[*operator.MissingError](err)
	return isMissing || isRefusal || isConnect || isClosed || isOwn || slices.ContainsFunc([]error{
		context.DeadlineExceeded, // of one call
		nats.ErrTimeout, nats.ErrNoServers, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection,
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrPermissionViolation,
		jetstream.ErrNoStreamResponse, jetstream.ErrStreamNotFound, jetstream.ErrConsumerNotFound, jetstream.ErrBucketNotFound,
		jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount,
	}, func(known error) bool { return errors.Is(err, known) })
}
