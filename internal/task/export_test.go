package task

// FieldNames returns the names of the request's table.
func FieldNames() (names []string) {
	for _, f := range fields() {
		names = append(names, f.name)
	}
	return names
}
