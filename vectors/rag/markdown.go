package rag

import (
	"iter"
	"strings"
)

// Markdown splits a Markdown document as [Paragraphs] does, but no chunk spans
// two sections, and the Section of each is the path of its headings: "Guide >
// Install > Linux". A section begins with its heading; headings with nothing
// under them go with the next section. Both styles of heading count ("# Install"
// and an underlined line), except inside fenced code.
func Markdown(document, text string, opts *ChunkOptions) ([]Chunk, error) {
	o := opts.WithDefaults()
	if err := o.validate(document, text); err != nil {
		return nil, err
	}
	s := splitter{document: document, text: text, opts: o, seen: map[string]int{}}
	path := outline{o.Title}
	start, body := 0, false
	for line := range markdownLines(text) {
		switch {
		case line.level == 0:
			body = body || strings.TrimSpace(text[line.start:line.end]) != ""
			continue
		case body:
			s.section(path.String(), start, line.start)
			start, body = line.start, false
		}
		path = path.enter(line.level, line.heading)
	}
	s.section(path.String(), start, len(text))
	return s.chunks, nil
}

// An outline is the title and the heading of each level that text stands under,
// empty where a level was left out.
type outline []string

func (o outline) enter(level int, heading string) outline {
	o = append(outline{}, o[:min(level, len(o))]...)
	for len(o) < level {
		o = append(o, "")
	}
	return append(o, heading)
}

func (o outline) String() string {
	var parts []string
	for _, part := range o {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " > ")
}

// A markdownLine is one line, or the two of an underlined heading. Its level is
// 0 unless it is a heading.
type markdownLine struct {
	start, end int
	level      int
	heading    string
}

func markdownLines(text string) iter.Seq[markdownLine] {
	return func(yield func(markdownLine) bool) {
		fence := "" // of the code that the line is in
		for start := 0; start < len(text); {
			line := markdownLine{start: start, end: lineAfter(text, start)}
			content := strings.TrimSpace(text[start:line.end])
			switch mark := fenceOf(content); {
			case fence != "":
				if strings.HasPrefix(mark, fence) && mark == content {
					fence = ""
				}
			case mark != "":
				fence = mark
			default:
				line = line.asHeading(text, content)
			}
			if !yield(line) {
				return
			}
			start = line.end
		}
	}
}

// asHeading returns the line with its level, and the next as part of it if that
// underlines it.
func (l markdownLine) asHeading(text, content string) markdownLine {
	if l.level, l.heading = heading(content); l.level > 0 {
		return l
	}
	next := lineAfter(text, l.end)
	if level := underline(text[l.end:next]); level > 0 && canBeUnderlined(content) {
		l.end, l.level, l.heading = next, level, content
	}
	return l
}

func lineAfter(text string, start int) int {
	if i := strings.IndexByte(text[start:], '\n'); i >= 0 {
		return start + i + 1
	}
	return len(text)
}

// fenceOf returns the run of three or more backticks or tildes that a line
// begins with, else nothing.
func fenceOf(line string) string {
	for _, mark := range []string{"`", "~"} {
		if rest := strings.TrimLeft(line, mark); len(line)-len(rest) >= 3 {
			return line[:len(line)-len(rest)]
		}
	}
	return ""
}

// heading returns the level and text of a heading that begins with number
// signs, 0 if the line is none.
func heading(line string) (level int, text string) {
	rest := strings.TrimLeft(line, "#")
	level = len(line) - len(rest)
	if level < 1 || level > 6 || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return 0, ""
	}
	text = strings.TrimSpace(rest)
	if closed := strings.TrimRight(text, "#"); closed == "" || strings.HasSuffix(closed, " ") {
		text = strings.TrimSpace(closed)
	}
	return level, text
}

// underline returns the level of the heading that a line of = or - makes of the
// one before, 0 if it makes none.
func underline(line string) int {
	line = strings.TrimSpace(line)
	switch {
	case len(line) < 2:
		return 0
	case strings.Trim(line, "=") == "":
		return 1
	case strings.Trim(line, "-") == "":
		return 2
	}
	return 0
}

// canBeUnderlined keeps rules, lists, quotes, tables and front matter from
// being taken for headings.
func canBeUnderlined(line string) bool {
	return line != "" && !strings.ContainsAny(line[:1], "-=*+>|") && !strings.Contains(line, "|")
}
