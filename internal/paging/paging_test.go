package paging_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/genaistore/genaistore/internal/paging"
)

func TestSeq(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name    string
		pages   [][]int
		fail    int // index of the page that fails, or -1
		want    []int
		wantErr error
	}{
		{"no pages", [][]int{{}}, -1, nil, nil},
		{"an empty page in the middle", [][]int{{1}, {}, {2, 3}}, -1, []int{1, 2, 3}, nil},
		{"the second page fails", [][]int{{1}, {2}}, 1, []int{1}, boom},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			var gotErr error
			for n, err := range paging.Seq(func(page int) ([]int, int, error) {
				if page == tt.fail {
					return nil, 0, boom
				}
				return tt.pages[page], (page + 1) % len(tt.pages), nil
			}) {
				if gotErr = err; err == nil {
					got = append(got, n)
				}
			}
			if !slices.Equal(got, tt.want) || !errors.Is(gotErr, tt.wantErr) {
				t.Errorf("got %v, %v, want %v, %v", got, gotErr, tt.want, tt.wantErr)
			}
		})
	}
}
