package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/capstan-worker/capstan/internal/contract"
)

// schemaCmd prints the published schemas. It needs no NATS.
type schemaCmd struct {
	Name string `arg:"" optional:"" predictor:"schema" help:"Which one. Without it, their names are listed."`
	Dir  string `placeholder:"DIR" help:"Write all of them to files in this folder."`
}

// Help is printed below the flags.
func (*schemaCmd) Help() string {
	return `Prints the JSON Schema (draft 2020-12) of a message or of a value in a bucket, or the AsyncAPI document, which says where
they are. What this version prints is in the folder api of its source.

Examples:

  capstan schema
  capstan schema request > request.schema.json
  capstan schema --dir schemas`
}

// Run prints one document, writes all of them, or lists them.
func (s *schemaCmd) Run(t *terminal) error {
	switch {
	case s.Name != "" && s.Dir != "":
		return usageError{errors.New("give a name or --dir, not both: --dir writes all of them")}
	case s.Dir != "":
		return writeDocuments(s.Dir)
	case s.Name == "":
		for _, each := range contract.Documents() {
			t.printf("%-10s%s\n", each.Name, each.Title)
		}
		return nil
	}
	for _, each := range contract.Documents() {
		if each.Name == s.Name {
			t.printf("%s", each.Text)
			return nil
		}
	}
	return usageError{fmt.Errorf("the name of a schema must be one of %s (got %q)", strings.Join(documentNames(), ", "), s.Name)}
}

// writeDocuments writes all documents to a folder, which is created if it is missing.
func writeDocuments(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create folder for the schemas: %w", err)
	}
	for _, each := range contract.Documents() {
		if err := os.WriteFile(filepath.Join(dir, each.File), each.Text, 0o600); err != nil {
			return fmt.Errorf("write schema %s: %w", each.Name, err)
		}
	}
	return nil
}

// documentNames returns the names that capstan schema takes.
func documentNames() (names []string) {
	for _, each := range contract.Documents() {
		names = append(names, each.Name)
	}
	return names
}
