package fsshare

import (
	"cmp"
	"context"
)

// Hold takes the lock, runs do under it, and gives it back: the way to hold a lock
// that forgets neither Unlock nor its error. The context that do gets ends when the
// lock is lost, so what do passes it to fails with ErrLost then. After an error of
// do, that is the error; otherwise that of Unlock, where ErrLost says that do may
// not have been alone.
func Hold(ctx context.Context, share Share, lock string, opts *LockOptions, do func(ctx context.Context, lock Lock) error) (err error) {
	l, err := share.Lock(ctx, lock, opts)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, l.Unlock()) }()
	return do(l.Context(), l) //nolint:contextcheck // Context is a child of ctx, by its contract
}
