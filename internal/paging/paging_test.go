package paging_test

import (
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/internal/paging"
)

var errBoom = errors.New("boom")

// book is a server of pages: its token is the number of the page.
type book struct {
	pages [][]string
	fail  int // page that fails, or -1
	reads int
}

func (b *book) fetch(page int) ([]string, int, error) {
	b.reads++
	if page == b.fail {
		return []string{"not to be seen"}, 1, errBoom
	}
	return b.pages[page], (page + 1) % len(b.pages), nil
}

// read ranges over seq to its end.
func read(t *testing.T, seq iter.Seq2[string, error]) ([]string, error) {
	t.Helper()
	var got []string
	var last error
	for item, err := range seq {
		require.NoError(t, last, "something follows the error")
		if last = err; err == nil {
			got = append(got, item)
		}
	}
	return got, last
}

func TestSeq(t *testing.T) {
	tests := []struct {
		name  string
		pages [][]string
		fail  int
		want  []string
		err   error
		reads int
	}{
		{"one page without items", [][]string{{}}, -1, nil, nil, 1},
		{"an empty page in the middle", [][]string{{"a"}, {}, {"b", "c"}}, -1, []string{"a", "b", "c"}, nil, 3},
		{"an empty page at the end", [][]string{{"a"}, {}}, -1, []string{"a"}, nil, 2},
		{"the first page fails", [][]string{{"a"}}, 0, nil, errBoom, 1},
		{"the second page fails", [][]string{{"a"}, {"b"}, {"c"}}, 1, []string{"a"}, errBoom, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			book := &book{pages: tt.pages, fail: tt.fail}
			got, err := read(t, paging.Seq(book.fetch))
			require.Equal(t, tt.want, got)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.reads, book.reads)
		})
	}
}

func TestSeqFetchesNothingBeforeItIsNeeded(t *testing.T) {
	book := &book{pages: [][]string{{"a", "b"}, {"c"}}, fail: 1}
	seq := paging.Seq(book.fetch)
	require.Zero(t, book.reads, "before the loop")
	for item, err := range seq {
		require.NoError(t, err)
		if item == "b" {
			break
		}
	}
	require.Equal(t, 1, book.reads, "the loop has not asked for the page that fails")
}

func TestSeqStartsAgainWithEachRange(t *testing.T) {
	book := &book{pages: [][]string{{"a"}, {"b"}, {"c"}}, fail: -1}
	seq := paging.Seq(book.fetch)
	for item := range seq {
		if item == "b" {
			break
		}
	}
	for range 2 {
		got, err := read(t, seq)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c"}, got)
	}
}

func TestSeqMayBeNested(t *testing.T) {
	book := &book{pages: [][]string{{"a"}, {"b"}}, fail: -1}
	seq := paging.Seq(book.fetch)
	var got []string
	for outer := range seq {
		for inner := range seq {
			got = append(got, outer+inner)
		}
	}
	require.Equal(t, []string{"aa", "ab", "ba", "bb"}, got)
}

func TestSeqEndsWhenTheTokenStandsStill(t *testing.T) {
	reads := 0
	got, err := read(t, paging.Seq(func(token string) ([]string, string, error) {
		if reads++; reads > 5 {
			return nil, "", errBoom
		}
		return []string{"after " + token}, "x", nil
	}))
	require.Equal(t, []string{"after ", "after x"}, got)
	require.ErrorIs(t, err, fault.Corrupt)
}

func ExampleSeq() {
	shelves := map[string][]string{"": {"ada", "bob"}, "bob": {"cid"}}
	next := map[string]string{"": "bob"}
	users := paging.Seq(func(after string) ([]string, string, error) {
		return shelves[after], next[after], nil
	})
	for user, err := range users {
		fmt.Println(user, err)
	}
	// Output:
	// ada <nil>
	// bob <nil>
	// cid <nil>
}
