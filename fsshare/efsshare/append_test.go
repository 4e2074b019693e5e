package efsshare_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
)

// requireAll checks that each record of each writer is there, whole, once, in the
// order of its writer.
func requireAll(t *testing.T, log string, writers, each int) {
	t.Helper()
	next := make([]int, writers)
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	require.Len(t, lines, writers*each)
	for _, line := range lines {
		writer, rest, ok := strings.Cut(line, ":")
		require.True(t, ok, line)
		i, err := strconv.Atoi(writer)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(next[i])+strings.Repeat(".", next[i]), rest)
		next[i]++
	}
}

func TestAppendsTogetherAreAllThere(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for i := range writers {
		s := open(t, dir)
		wg.Go(func() {
			for j := range each {
				if err := s.Append(t.Context(), "d/log", []byte(strconv.Itoa(i)+":"+strconv.Itoa(j)+strings.Repeat(".", j)+"\n")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	data, err := fs.ReadFile(open(t, dir).FS(t.Context()), "d/log")
	require.NoError(t, err)
	requireAll(t, string(data), writers, each)
}

func TestAppendToWhatIsNoFileIsAConflict(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Append(t.Context(), "d/log", []byte("x")))
	require.ErrorIs(t, s.Append(t.Context(), "d", []byte("x")), fsshare.ErrConflict)
	require.ErrorIs(t, s.Append(t.Context(), "d/log/below", []byte("x")), fsshare.ErrConflict)
	require.ErrorIs(t, s.Append(t.Context(), "../log", []byte("x")), fsshare.ErrInvalid)
	require.ErrorIs(t, s.Append(t.Context(), ".", []byte("x")), fsshare.ErrInvalid)
}

func TestInvocationGivesBackWhatIsStillHeld(t *testing.T) {
	s := open(t, t.TempDir())
	var kept fsshare.Share
	boom := errors.New("boom")
	err := s.Invocation(t.Context(), func(ctx context.Context, share fsshare.Share) error {
		kept = share
		given, err := share.Lock(ctx, "given back", nil)
		require.NoError(t, err)
		require.NoError(t, given.Unlock())
		_, err = share.Lock(ctx, "forgotten", nil)
		require.NoError(t, err)
		return boom
	})
	require.ErrorIs(t, err, boom)
	require.ErrorIs(t, err, fsshare.ErrInvalid)
	require.ErrorContains(t, err, `"forgotten"`)
	require.NotContains(t, err.Error(), "given back")
	l, err := s.Lock(t.Context(), "forgotten", &fsshare.LockOptions{Try: true})
	require.NoError(t, err, "it was given back")
	require.NoError(t, l.Unlock())
	_, err = kept.Lock(t.Context(), "later", nil)
	require.ErrorIs(t, err, fsshare.ErrInvalid)
	_, err = s.Lock(t.Context(), "later", &fsshare.LockOptions{Try: true})
	require.NoError(t, err)
}
