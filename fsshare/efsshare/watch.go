package efsshare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// settled is for how long a file that was seen to change is read again although
// its attributes are the same: a server's clock may tick as seldom as each second.
const settled = 3 * time.Second

// Watch implements [fsshare.Share]. It looks after between three quarters of Every
// and Every, so that many watchers do not look at once: a change is seen within
// Every and the time of the calls, of which there are one for each directory on the
// way, an open, and for a file that changed its bytes. On NFS nothing tells a
// client of changes; inotify does not.
func (s *Share) Watch(ctx context.Context, target fsshare.Target, opts *fsshare.WatchOptions) iter.Seq2[fsshare.Event, error] {
	return func(yield func(fsshare.Event, error) bool) {
		name := cmp.Or(target.File, target.Lock)
		if err := cmp.Or(target.Validate(), opts.Validate(), ended(ctx)); err != nil {
			yield(fsshare.Event{}, wrap("watch", name, err))
			return
		}
		w := lookout{share: s, target: target, every: opts.WithDefaults().Every}
		if err := w.follow(ctx, yield); err != nil {
			yield(fsshare.Event{}, wrap("watch", name, kind(err)))
		}
	}
}

// A lookout is a Watch under way.
type lookout struct {
	share  *Share
	target fsshare.Target
	every  time.Duration

	last  view
	id    kernel.ID
	since time.Time // when the file was seen to have changed
}

// A view is what the target is, as far as it matters for a change.
type view struct {
	present bool
	sum     [sha256.Size]byte
}

// follow returns nil when the loop has ended itself.
func (w *lookout) follow(ctx context.Context, yield func(fsshare.Event, error) bool) error {
	for first := true; ; first = false {
		event, now, err := w.look(ctx)
		if err != nil {
			return err
		}
		if first || now != w.last {
			w.last = now
			if !yield(event, nil) {
				return nil
			}
		}
		const jitter = 4
		timer := time.NewTimer(w.every - rand.N(w.every/jitter+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if err := ended(ctx); err != nil {
			return err
		}
	}
}

func (w *lookout) look(ctx context.Context) (fsshare.Event, view, error) {
	event := fsshare.Event{Target: w.target}
	if w.target.Lock != "" {
		status, err := w.share.inspect(ctx, w.target.Lock)
		event.Status, event.Absent = status, status.Data == nil
		return event, view{!event.Absent, sha256.Sum256(status.Data)}, err
	}
	kept := w.last
	if time.Since(w.since) < settled {
		kept = view{}
	}
	got, err := call(ctx, w.share.pool, func() (seen, error) { return w.share.lookAt(w.target.File, kept, w.id) }, nil)
	if err != nil || !got.present {
		event.Absent = true
		return event, view{}, err
	}
	if current := kernel.Identify(got.info); current != w.id {
		w.id, w.since = current, time.Now()
	}
	event.Info = fsshare.Info{Name: w.target.File, Size: got.info.Size(), Modified: got.info.ModTime(), SHA256: got.sum}
	return event, got.view, nil
}

// seen is a file, and its view.
type seen struct {
	view
	info fs.FileInfo
}

// lookAt says what a file is now. Its bytes are read unless it is the one that kept
// is the view of.
func (s *Share) lookAt(name string, kept view, id kernel.ID) (seen, error) {
	for range attempts {
		f, info, err := s.openFresh(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return seen{}, nil
		}
		if err != nil {
			return seen{}, err
		}
		if info.IsDir() {
			return seen{}, f.Close()
		}
		if kept.present && kernel.Identify(info) == id {
			return seen{kept, info}, f.Close()
		}
		sum, err := hashAll(f)
		if err = errors.Join(err, f.Close()); !errors.Is(err, syscall.ESTALE) {
			return seen{view{true, sum}, info}, err
		}
	}
	return seen{}, os.NewSyscallError("open", syscall.ESTALE)
}

func hashAll(r io.Reader) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	_, err = io.Copy(hash, r)
	return [sha256.Size]byte(hash.Sum(nil)), err
}
