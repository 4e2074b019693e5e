package rag_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/rag"
)

func texts(chunks []rag.Chunk) []string {
	var all []string
	for _, c := range chunks {
		all = append(all, c.Text)
	}
	return all
}

func paragraphs(t *testing.T, text string, opts *rag.ChunkOptions) []rag.Chunk {
	t.Helper()
	chunks, err := rag.Paragraphs("doc", text, opts)
	require.NoError(t, err)
	return chunks
}

func TestTextIsCutWhereItReadsBest(t *testing.T) {
	for name, c := range map[string]struct {
		size int
		text string
		want []string
	}{
		"all fits":              {20, " short text\n", []string{"short text"}},
		"at a blank line":       {30, "First. Part one.\n\nSecond part goes on.", []string{"First. Part one.", "Second part goes on."}},
		"with carriage returns": {32, "First part is here\r\n\r\nSecond. Third goes on.", []string{"First part is here", "Second. Third goes on."}},
		"at a sentence":         {24, "One two three. Four five six seven.", []string{"One two three.", "Four five six seven."}},
		"not after an initial":  {24, "Some words of J. Bach who composed.", []string{"Some words of J. Bach", "who composed."}},
		"not after e.g.":        {24, "Take a fruit, e.g. apples or pears.", []string{"Take a fruit, e.g.", "apples or pears."}},
		"after a quotation":     {24, `He said "go away." Then they went.`, []string{`He said "go away."`, "Then they went."}},
		"at a line":             {16, "one two three\nfour five six", []string{"one two three", "four five six"}},
		"at a word":             {12, "alpha beta gamma delta", []string{"alpha beta", "gamma delta"}},
		"inside a word":         {4, "abcdefghij", []string{"abcd", "efgh", "ij"}},
		"not before an accent":  {4, "abce\u0301fgh", []string{"abc", "e\u0301fg", "h"}},
		"without spaces":        {8, "これは本です。それは机です。", []string{"これは本です。", "それは机です。"}},
		"nothing but space":     {5, " \n\n\t   \n  ", nil},
		"empty":                 {5, "", nil},
	} {
		require.Equal(t, c.want, texts(paragraphs(t, c.text, &rag.ChunkOptions{Size: c.size, Overlap: -1})), name)
	}
}

func TestOverlapBeginsAtASentenceElseAtAWord(t *testing.T) {
	got := texts(paragraphs(t, "One two three four. Five six. Seven eight nine ten. Eleven.", &rag.ChunkOptions{Size: 32, Overlap: 12}))
	require.Equal(t, []string{"One two three four. Five six.", "Five six. Seven eight nine ten.", "nine ten. Eleven."}, got)
}

func TestIDsStayWhenTextIsInserted(t *testing.T) {
	section := func(n int) string { return fmt.Sprintf("# Part %d\n\n%s\n\n", n, strings.Repeat("Words of it. ", 30)) }
	before, err := rag.Markdown("doc", section(1)+section(2)+section(3), nil)
	require.NoError(t, err)
	after, err := rag.Markdown("doc", section(1)+section(9)+section(2)+section(3), nil)
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, c := range after {
		ids[c.ID] = true
	}
	require.Len(t, ids, 4)
	for _, c := range before {
		require.True(t, ids[c.ID], c.Section)
	}
}

func TestEqualChunksHaveTheirOwnIDs(t *testing.T) {
	chunks := paragraphs(t, "Same words.\n\nSame words.", &rag.ChunkOptions{Size: 12, Overlap: -1})
	require.Len(t, chunks, 2)
	require.Equal(t, chunks[0].Hash, chunks[1].Hash)
	require.NotEqual(t, chunks[0].ID, chunks[1].ID)
	require.Len(t, chunks[0].Hash, 64)
}

func TestTitleIsPartOfSectionAndHash(t *testing.T) {
	bare := paragraphs(t, "Text.", nil)
	titled := paragraphs(t, "Text.", &rag.ChunkOptions{Title: "Namibia"})
	require.Equal(t, "Namibia", titled[0].Section)
	require.Equal(t, "Namibia\nText.", titled[0].Content())
	require.Equal(t, "Text.", bare[0].Content())
	require.NotEqual(t, bare[0].ID, titled[0].ID)
}

func TestSectionsFollowTheHeadings(t *testing.T) {
	doc := strings.Join([]string{
		"before", "# Guide #", "", "## Install", "steps", "```sh", "# not a heading", "```", "### Linux", "apt",
		"## Use", "- a", "---", "run", "Setext", "======", "end", "a | b", "--|--", "#hashtag",
	}, "\n")
	chunks, err := rag.Markdown("doc", doc, &rag.ChunkOptions{Title: "Book"})
	require.NoError(t, err)
	var got []string
	for _, c := range chunks {
		got = append(got, c.Section+": "+strings.ReplaceAll(c.Text, "\n", "/"))
	}
	require.Equal(t, []string{
		"Book: before",
		"Book > Guide > Install: # Guide #//## Install/steps/```sh/# not a heading/```",
		"Book > Guide > Install > Linux: ### Linux/apt",
		"Book > Guide > Use: ## Use/- a/---/run",
		"Book > Setext: Setext/======/end/a | b/--|--/#hashtag",
	}, got)
}

func TestBadChunkArgumentsAreInvalid(t *testing.T) {
	for name, call := range map[string]func() ([]rag.Chunk, error){
		"no id":             func() ([]rag.Chunk, error) { return rag.Paragraphs("", "x", nil) },
		"text not UTF-8":    func() ([]rag.Chunk, error) { return rag.Paragraphs("d", "\xff", nil) },
		"title not UTF-8":   func() ([]rag.Chunk, error) { return rag.Paragraphs("d", "x", &rag.ChunkOptions{Title: "\xff"}) },
		"negative size":     func() ([]rag.Chunk, error) { return rag.Paragraphs("d", "x", &rag.ChunkOptions{Size: -1}) },
		"overlap over half": func() ([]rag.Chunk, error) { return rag.Markdown("d", "x", &rag.ChunkOptions{Size: 9, Overlap: 5}) },
	} {
		chunks, err := call()
		require.ErrorIs(t, err, rag.ErrInvalid, name)
		require.Empty(t, chunks, name)
	}
}

// No text is lost but space between chunks, none is longer than asked, none is
// cut inside a character, and the same input gives the same chunks.
func FuzzChunks(f *testing.F) {
	f.Add("One. Two three.\n\nFour five six seven eight.", 10, 3, "T")
	f.Add("# A\n\n## B\ntext\n```\n# c\n```\nD\n===\n日本語です。はい。", 7, 2, "")
	f.Add("e\u0301e\u0301👩‍👩‍👧\r\n\r\n x", 1, 0, "é")
	f.Fuzz(func(t *testing.T, text string, size, overlap int, title string) {
		opts := &rag.ChunkOptions{Size: size, Overlap: overlap, Title: title}
		for name, split := range map[string]func(string, string, *rag.ChunkOptions) ([]rag.Chunk, error){
			"paragraphs": rag.Paragraphs, "markdown": rag.Markdown,
		} {
			chunks, err := split("doc", text, opts)
			again, _ := split("doc", text, opts)
			require.Equal(t, chunks, again, name)
			o := opts.WithDefaults()
			if err != nil {
				require.ErrorIs(t, err, rag.ErrInvalid)
				require.True(t, !utf8.ValidString(text) || !utf8.ValidString(title) || o.Size < 1 || o.Overlap > o.Size/2, err)
				continue
			}
			checkChunks(t, text, o, chunks)
		}
	})
}

func checkChunks(t *testing.T, text string, o rag.ChunkOptions, chunks []rag.Chunk) {
	t.Helper()
	ids := map[string]bool{}
	start, end := -1, 0
	for _, c := range chunks {
		require.Equal(t, text[c.Start:c.End], c.Text)
		require.True(t, utf8.ValidString(c.Text))
		require.NotEmpty(t, c.Text)
		require.Equal(t, strings.TrimSpace(c.Text), c.Text)
		require.LessOrEqual(t, utf8.RuneCountInString(c.Text), o.Size)
		require.Greater(t, c.Start, start)
		require.Greater(t, c.End, end)
		if c.Start > end {
			require.Empty(t, strings.TrimSpace(text[end:c.Start]), "lost text")
		} else {
			require.LessOrEqual(t, utf8.RuneCountInString(text[c.Start:end]), o.Overlap, "overlap")
		}
		require.False(t, ids[c.ID], "id twice")
		ids[c.ID] = true
		start, end = c.Start, c.End
	}
	require.Empty(t, strings.TrimSpace(text[end:]), "lost text at the end")
}
