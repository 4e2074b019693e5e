package fsshare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// InMemory is a [Share] that keeps files and locks in the process: a file server
// that never fails, with all its clients. The zero value is an empty share, ready
// to use. It starts no goroutine. Locks are served strictly in the order in which
// they were asked for, and held until Unlock.
//
// Permissions are kept and shown, and not enforced.
type InMemory struct {
	mu    sync.Mutex
	root  *node // made with the first thing in it
	locks map[string]*lockRecord
	who   Holder
}

// A node is a file or a directory. The bytes of a file are never changed in
// place, so whoever has the slice may read it without the mutex.
type node struct {
	mode     fs.FileMode
	modified time.Time
	data     []byte
	sum      [sha256.Size]byte
	children map[string]*node // nil in a file
}

const dirMode = fs.ModeDir | 0o755

var _ Share = (*InMemory)(nil)

// FS implements [Share].
func (m *InMemory) FS(ctx context.Context) fs.FS { return memFS{m, ctx, "."} }

// WriteFile implements [Share].
func (m *InMemory) WriteFile(ctx context.Context, name string, r io.Reader, opts *WriteOptions) (Info, error) {
	info, err := m.write(ctx, name, r, opts)
	if err != nil {
		return Info{}, wrap("write", name, err)
	}
	return info, nil
}

func (m *InMemory) write(ctx context.Context, name string, r io.Reader, opts *WriteOptions) (Info, error) {
	if err := cmp.Or(validateFile(name), opts.Validate(), ended(ctx)); err != nil {
		return Info{}, err
	}
	if r == nil {
		return Info{}, fmt.Errorf("%w: the reader is nil", ErrInvalid)
	}
	o := opts.WithDefaults()
	if err := m.mayPut(name, o.MustMake); err != nil { // before r is used up
		return Info{}, err
	}
	data, err := io.ReadAll(heedful{ctx, r})
	if err != nil {
		return Info{}, err
	}
	file := &node{mode: o.Mode, modified: now(), data: data, sum: sha256.Sum256(data)}
	if o.Under != nil {
		if err := o.Under.Check(ctx); err != nil {
			return Info{}, err
		}
	}
	if err := ended(ctx); err != nil {
		return Info{}, err
	}
	if err := m.put(name, file, o.MustMake); err != nil {
		return Info{}, err
	}
	return file.info(name), nil
}

// A heedful reader looks at the context before each Read.
type heedful struct {
	ctx context.Context
	r   io.Reader
}

func (h heedful) Read(p []byte) (int, error) {
	if err := ended(h.ctx); err != nil {
		return 0, err
	}
	return h.r.Read(p)
}

func (m *InMemory) mayPut(name string, mustMake bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.root.mayPut(name, mustMake)
}

func (m *InMemory) put(name string, file *node, mustMake bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.root.mayPut(name, mustMake); err != nil {
		return err
	}
	if m.root == nil {
		m.root = newDir(file.modified)
	}
	m.root.put(name, file)
	return nil
}

// mayPut says why no file can be put at name. It accepts a nil receiver.
func (n *node) mayPut(name string, mustMake bool) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if above := n.at(dir); above != nil && above.children == nil {
			return fmt.Errorf("%w: %s is a file", ErrConflict, dir)
		}
	}
	switch old := n.at(name); {
	case old == nil:
		return nil
	case old.children != nil:
		return fmt.Errorf("%w: it is a directory", ErrConflict)
	case mustMake:
		return fmt.Errorf("%w: it exists", ErrConflict)
	}
	return nil
}

// put sets what is at name, which mayPut allowed, and makes the directories above.
func (n *node) put(name string, what *node) {
	dir := n
	above, base := path.Split(name)
	for e := range strings.SplitSeq(strings.TrimSuffix(above, "/"), "/") {
		if e == "" {
			break
		}
		below := dir.children[e]
		if below == nil {
			below = newDir(what.modified)
			dir.children[e], dir.modified = below, what.modified
		}
		dir = below
	}
	dir.children[base], dir.modified = what, what.modified
}

// at returns the node of that name, or nil. It accepts a nil receiver.
func (n *node) at(name string) *node {
	if n == nil || name == "." {
		return n
	}
	for e := range strings.SplitSeq(name, "/") {
		if n = n.children[e]; n == nil {
			return nil
		}
	}
	return n
}

func newDir(at time.Time) *node {
	return &node{mode: dirMode, modified: at, children: map[string]*node{}}
}

func (n *node) info(name string) Info {
	return Info{Name: name, Size: int64(len(n.data)), Modified: n.modified, SHA256: n.sum}
}

// Remove implements [Share].
func (m *InMemory) Remove(ctx context.Context, name string) error {
	if err := cmp.Or(validateFile(name), ended(ctx)); err != nil {
		return wrap("remove", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root.at(name)
	if n == nil {
		return nil
	}
	if len(n.children) > 0 {
		return wrap("remove", name, fmt.Errorf("%w: the directory is not empty", ErrConflict))
	}
	dir := m.root.at(path.Dir(name))
	delete(dir.children, path.Base(name))
	dir.modified = now()
	return nil
}

// Inspect implements [Share].
func (m *InMemory) Inspect(ctx context.Context, lock string) (Status, error) {
	if err := cmp.Or(ValidateLock(lock), ended(ctx)); err != nil {
		return Status{}, wrap("inspect", lock, err)
	}
	return m.status(lock), nil
}

func (m *InMemory) status(lock string) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := m.locks[lock]
	if rec == nil {
		return Status{}
	}
	return Status{Held: len(rec.held) > 0, Holder: rec.holder, Token: rec.token, Data: slices.Clone(rec.data)}
}

// Watch implements [Share].
func (m *InMemory) Watch(ctx context.Context, target Target, opts *WatchOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		name := cmp.Or(target.File, target.Lock)
		if err := cmp.Or(target.Validate(), opts.Validate(), ended(ctx)); err != nil {
			yield(Event{}, wrap("watch", name, err))
			return
		}
		if err := m.follow(ctx, target, opts.WithDefaults().Every, yield); err != nil {
			yield(Event{}, wrap("watch", name, err))
		}
	}
}

// follow returns nil when the loop has ended itself.
func (m *InMemory) follow(ctx context.Context, target Target, every time.Duration, yield func(Event, error) bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var seen [sha256.Size]byte
	for first, present := true, false; ; first = false {
		event, sum := m.look(target)
		if first || present == event.Absent || sum != seen {
			seen, present = sum, !event.Absent
			if !yield(event, nil) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if err := ended(ctx); err != nil {
			return err
		}
	}
}

// look returns what target is, and the digest that says whether it changed.
func (m *InMemory) look(target Target) (Event, [sha256.Size]byte) {
	if target.Lock != "" {
		status := m.status(target.Lock)
		return Event{Target: target, Absent: status.Data == nil, Status: status}, sha256.Sum256(status.Data)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root.at(target.File)
	if n == nil || n.children != nil {
		return Event{Target: target, Absent: true}, [sha256.Size]byte{}
	}
	return Event{Target: target, Info: n.info(target.File)}, n.sum
}

// now is the time as files and holders keep it: without the monotonic reading,
// which neither a file system nor a snapshot can keep.
func now() time.Time { return time.Now().UTC().Round(0) }

// ended returns the error of an ended context, with its cause where that says more.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func wrap(op, name string, err error) error { return fmt.Errorf("%s %.300q: %w", op, name, err) }
