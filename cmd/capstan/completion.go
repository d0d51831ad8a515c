package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"

	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/task"
)

// completionCmd prints the script that lets a shell complete the words of a command line. The script runs this program with
// the variable COMP_LINE for each completion; see completeWord.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is printed below the flags.
func (*completionCmd) Help() string {
	return `Add a line to the end of the shell's startup file, and open a new shell:

  ~/.bashrc                   source <(capstan completion bash)
  ~/.zshrc                    source <(capstan completion zsh)
  ~/.config/fish/config.fish  capstan completion fish | source`
}

// Run prints the script.
func (c *completionCmd) Run(t *terminal) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the path of this program: %w", err)
	}
	t.printf("%s", completionScript(c.Shell, program))
	return nil
}

// completeWord prints what can follow in the command line of COMP_LINE, if a shell has set it, and reports whether it did.
func completeWord(parser *kong.Kong) bool {
	if os.Getenv("COMP_LINE") == "" {
		return false
	}
	var names []string
	for _, command := range parser.Model.Children {
		names = append(names, command.Name)
	}
	command, err := kongcompletion.Command(parser, kongcompletion.WithPredictors(map[string]complete.Predictor{
		"command": complete.PredictSet(names...),
		"state":   predictNames(statesToList()),
		"code":    predictNames(task.Codes()),
		"retry":   predictNames(task.Retriable()),
		"format":  predictNames([]batch.Format{batch.JSON, batch.JSONLines, batch.CSV}),
		"schema":  complete.PredictSet(documentNames()...),
		"unknown": complete.PredictSet("fail", "resubmit", "fence"),
	}))
	if err != nil {
		return false // a tag is wrong
	}
	completion := complete.New(parser.Model.Name, command)
	completion.Out = parser.Stdout
	return completion.Complete()
}

// predictNames predicts one of these values of a flag or argument.
func predictNames[T ~string](values []T) complete.Predictor {
	names := make([]string, len(values))
	for i, value := range values {
		names[i] = string(value)
	}
	return complete.PredictSet(names...)
}
