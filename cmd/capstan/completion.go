package main

import (
	"os"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
)

// completionCmd prints the script that lets a shell complete the words of a command line. The script runs this program with
// the variable COMP_LINE for each completion; see completeWord.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is printed below the flags.
func (*completionCmd) Help() string {
	return `Add a line to the shell's startup file, and open a new shell:

  ~/.bashrc                   source <(capstan completion bash)
  ~/.zshrc                    source <(capstan completion zsh)
  ~/.config/fish/config.fish  capstan completion fish | source`
}

// Run prints the script. Kong passes the context of the command line.
func (c *completionCmd) Run(command *kong.Context) error {
	return (&kongcompletion.Completion{Shell: c.Shell, Code: true}).Run(command)
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
	command, err := kongcompletion.Command(parser, kongcompletion.WithPredictor("command", complete.PredictSet(names...)))
	if err != nil {
		return false // a tag is wrong
	}
	completion := complete.New(parser.Model.Name, command)
	completion.Out = parser.Stdout
	return completion.Complete()
}
