package memory_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// again repeats a task as its caller would, until it is done.
func again(t *testing.T, task func() error) {
	t.Helper()
	for range 1000 {
		err := task()
		if err == nil {
			return
		}
		require.True(t, errors.Is(err, memory.ErrThrottled) || errors.Is(err, memory.ErrConflict), "%v", err)
	}
	t.Fatal("it is never done")
}

// Two calls in five fail, half of them after they were done: the tasks end where they
// would have ended anyway.
func TestTheTasksEndInAStorm(t *testing.T) {
	for seed := range uint64(40) {
		calm, wild := full(t), &memory.InMemory{}
		storm := memorytest.Storm(seed).Over(wild)

		var lines bytes.Buffer
		from := memorytest.Storm(seed).Over(calm)
		again(t, func() error {
			lines.Reset()
			_, err := memory.Export(t.Context(), from, talk, &lines)
			return err
		})
		require.Equal(t, 8, strings.Count(lines.String(), "\n"))
		again(t, func() error {
			_, err := memory.Import(t.Context(), storm, strings.NewReader(lines.String()), &memory.ImportOptions{SharedState: true})
			return err
		})
		wantWindow, want := content(t, calm, talk)
		gotWindow, got := content(t, wild, talk)
		require.Equal(t, wantWindow, gotWindow)
		require.Equal(t, want, got)

		again(t, func() error {
			_, err := memory.Enrich(t.Context(), storm, talk, memory.Lexicon{}, nil)
			return err
		})
		_, err := memory.Enrich(t.Context(), calm, talk, memory.Lexicon{}, nil)
		require.NoError(t, err)
		_, want = content(t, calm, talk)
		_, got = content(t, wild, talk)
		require.Equal(t, want, got)

		opts := &memory.SummarizeOptions{Keep: 2, Batch: 1}
		again(t, func() error {
			_, err := memory.Summarize(t.Context(), storm, talk, join, opts)
			return err
		})
		_, err = memory.Summarize(t.Context(), calm, talk, join, opts)
		require.NoError(t, err)
		wantWindow, _ = content(t, calm, talk)
		gotWindow, _ = content(t, wild, talk)
		require.Equal(t, wantWindow.Gist, gotWindow.Gist)
		require.NotEqual(t, "It began.", gotWindow.Gist.Text)
	}
}
