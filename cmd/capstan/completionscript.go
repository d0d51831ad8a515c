package main

import (
	"regexp"
	"strings"
)

// The scripts that complete the words of a command line. PROGRAM stands for the path of this program. Where the program has
// nothing to suggest, such as after --report, each shell completes the names of files.
const (
	bashScript = "complete -o default -o bashdefault -C PROGRAM capstan\n"

	// The word of --state=wai that zsh completes begins behind the equals sign.
	zshScript = `(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_capstan() {
  local -x COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX"
  local -a found
  found=("${(@f)$(PROGRAM 2>/dev/null)}")
  compset -P '--*='
  if [[ -n $found[1] ]]; then
    compadd -a found
  else
    _files
  fi
}
compdef _capstan capstan
`

	// The word of --state=wai that fish completes begins with the name of the flag.
	fishScript = `function __complete_capstan
    set -l word (commandline -ct)
    set -lx COMP_LINE (commandline -cp)
    test -n "$word"; or set COMP_LINE "$COMP_LINE "
    set -l flag (string match -r -- '^--[a-z-]+=' "$word")
    set -l found (PROGRAM 2>/dev/null)
    test (count $found) -gt 0; or set found (__fish_complete_path (string replace -r -- '^--[a-z-]+=' '' "$word"))
    test (count $found) -gt 0; and printf '%s\n' "$flag"$found
end
complete -c capstan -f -a '(__complete_capstan)'
`
)

// completionScript returns the script for a shell, which runs the program for each completion.
func completionScript(shell, program string) string {
	script, quoted := bashScript, quoteForShell(quoteForShell(program)) // bash parses the command once more when it runs it
	switch shell {
	case "zsh":
		script, quoted = zshScript, quoteForShell(program)
	case "fish":
		script, quoted = fishScript, quoteForShell(program)
	}
	return strings.ReplaceAll(script, "PROGRAM", quoted)
}

// quoteForShell returns a word so that a shell takes it as it is.
func quoteForShell(word string) string {
	if regexp.MustCompile(`^[\w/.:+@%-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
