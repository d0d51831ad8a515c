package process

// failure is the panic with which a part of a program ends early, as FailNow ends a test.
type failure struct{ err error }

// Check ends the part of the program that Catch runs if err is not nil.
func Check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Must returns v, or does what Check does if err is not nil.
func Must[T any](v T, err error) T {
	Check(err)
	return v
}

// Catch runs part of a program and returns the error with which Check or Must ended it. The part must not call them in
// other goroutines.
func Catch(part func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.err
		default:
			panic(p)
		}
	}()
	part()
	return nil
}
