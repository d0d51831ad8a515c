package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// parseMessageWidth bounds a message about the command line, which may repeat an argument of any length.
const parseMessageWidth = 400

// explainParsing returns an error of the parser in plain words: the rule, and then the value. The parser has no types for
// its errors, so this reads its texts; a test has each of them. A text that it does not know stays as it is.
func explainParsing(err error) error {
	text := err.Error()
	if word, ok := strings.CutPrefix(text, "unexpected argument "); ok {
		text = explainArgument(err, word)
	} else {
		for _, m := range parserMessages() {
			text = m.text.ReplaceAllString(text, m.plain)
		}
	}
	return errors.New(oneLine(text, parseMessageWidth))
}

// parserMessage is a message of the parser, and its meaning in plain words.
type parserMessage struct {
	text  *regexp.Regexp
	plain string
}

// parserMessages returns the messages of Kong that are not plain, in the order in which they are replaced.
func parserMessages() []parserMessage {
	// What a message is about: a flag, or an argument that may be optional or repeated.
	const subject = `(?s)^(--?[\w-]+|\[?<[\w-]+>(?: \.\.\.)?\]?)`
	var all []parserMessage
	add := func(text, plain string) { all = append(all, parserMessage{regexp.MustCompile(text), plain}) }
	add(subject+`: expected duration but got (".*"): time: .*$`, `$1 must be a duration such as 10m or 1h30m (got $2)`)
	add(subject+`: expected a valid \d+ bit u?int but got (".*")$`, `$1 must be a whole number (got $2)`)
	add(subject+`: expected a float but got (".*") \(\w+\)$`, `$1 must be a number (got $2)`)
	add(subject+`: bool value must be .* but got (".*")$`, `$1 must be true or false (got $2)`)
	add(`^bool value must be .* but got (".*")$`, `a flag that begins with --no- needs no value (got $1)`)
	add(subject+`: expected .* value but got .*; perhaps try .*="(-.*)"\?$`, `$1 needs a value; if that is $2, write $1=$2`)
	add(subject+`: expected .* value but got .*$`, `$1 needs a value`)
	add(subject+`: (must be .*)$`, `$1 $2`)
	add(subject+` must be one of (".*") but got (".*")$`, `$1 must be one of $2 (got $3)`)
	add(`"([\w-]+)",`, `$1, `)
	add(`, "([\w-]+)" \(got`, ` or $1 (got`)
	add(`^missing positional arguments (.*)$`, `missing argument: $1`)
	add(`^expected "(<.*>)"$`, `missing argument: $1`)
	add(`^expected one of .*$`, `no command given`)
	add(`^missing flags: (--[\w-]+)=.*$`, `missing flag: $1`)
	add(`(--[\w-]+) and (--[\w-]+) can't be used together`, `$1 and $2 exclude each other: give one of them`)
	add(`^(unknown flag -[^-]), did you mean .*$`, `$1`) // the nearest one of a letter is none
	add(`(?s)^(unknown flag .*, did you mean )(one of )?"(.*)"\?$`, `$1$2$3?`)
	return all
}

// explainArgument explains a word that the command does not take as an argument. Without a command, the word is meant to
// be one, and the parser may have found the nearest ones.
func explainArgument(err error, text string) string {
	word, nearest, _ := strings.Cut(text, ", did you mean ")
	if commandOf(err) != "" {
		return fmt.Sprintf("unexpected argument %.100q; if it belongs to the one before, put both in quotes", word)
	}
	if nearest != "" {
		nearest = ", did you mean " + strings.ReplaceAll(nearest, `"`, "")
	}
	return fmt.Sprintf("unknown command %.100q%s", word, nearest)
}

// commandOf returns the command in which the parser found a mistake, with a space before it, or "" if the command line has
// none.
func commandOf(err error) string {
	parsing, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parsing.Context == nil || parsing.Context.Selected() == nil {
		return ""
	}
	return " " + parsing.Context.Selected().Name
}
