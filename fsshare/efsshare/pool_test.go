package efsshare_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

func TestACallThatHangsIsLeftAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := efsshare.NewPool(4, time.Minute)
		mend := make(chan struct{})
		hang := func() error { <-mend; return nil }
		for _, c := range []struct {
			limit time.Duration
			want  []error
			after time.Duration
		}{
			{10 * time.Millisecond, []error{context.DeadlineExceeded}, 10 * time.Millisecond},
			{10 * time.Second, []error{context.DeadlineExceeded, fsshare.ErrHung}, 10 * time.Second},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			start := time.Now()
			err := p.Do(ctx, hang)
			cancel()
			require.Equal(t, c.after, time.Since(start))
			for _, want := range c.want {
				require.ErrorIs(t, err, want)
			}
			if len(c.want) == 1 {
				require.NotErrorIs(t, err, fsshare.ErrHung, "an impatient caller is no sign of a sick server")
			}
		}
		require.Equal(t, 2, p.Hanging())
		start := time.Now()
		require.ErrorIs(t, p.Do(t.Context(), hang), fsshare.ErrHung, "half of the places hang")
		require.Zero(t, time.Since(start))
		given := p.Eventually(func() {})
		<-given // what gives back is not refused
		close(mend)
		synctest.Wait()
		require.Zero(t, p.Hanging())
		require.NoError(t, p.Do(t.Context(), func() error { return nil }), "the circuit is closed again")
	})
}

func TestACallEndsByTheTimeoutOfItsPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := efsshare.NewPool(4, time.Minute)
		mend := make(chan struct{})
		defer close(mend)
		start := time.Now()
		err := p.Do(t.Context(), func() error { <-mend; return nil })
		require.ErrorIs(t, err, fsshare.ErrHung)
		require.ErrorIs(t, err, fsshare.ErrThrottled)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestNoMoreCallsAreUnderWayThanThereArePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := efsshare.NewPool(3, time.Hour)
		mend := make(chan struct{})
		running, errs := make(chan struct{}, 10), make(chan error, 10)
		for range 10 {
			go func() {
				errs <- p.Do(t.Context(), func() error { running <- struct{}{}; <-mend; return errors.New("done") })
			}()
		}
		synctest.Wait()
		require.Len(t, running, 3)
		close(mend)
		for range 10 {
			require.EqualError(t, <-errs, "done")
		}
	})
}
